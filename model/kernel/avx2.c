/* The kernel for x86-64 with avx2. */
#if defined(__x86_64__)
#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define LANES 8
#include "generation.h"
#include "chains.h"
#include "gradient.h"
#include "conditionals.h"
#include "ais.h"
#include "gated.h"

const InstructionSet kernel_avx2 = {"avx2", chains, generate, recall_bytes, recall_hear, drive, gradient, conditionals, anneal,
    contexts, tied_forward, tied_backward, piece_bytes, gated_generate, gated_hear};

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
