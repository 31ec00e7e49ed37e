/* The kernel for x86-64 with avx512. */
#if defined(__x86_64__)
#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")
#endif

#define LANES 16
#include "generation.h"
#include "chains.h"
#include "gradient.h"
#include "conditionals.h"
#include "ais.h"
#include "gated.h"

const InstructionSet kernel_avx512 = {"avx512", chains, generate, recall_bytes, recall_hear, drive, gradient, conditionals, anneal,
    contexts, tied_forward, tied_backward, piece_bytes, gated_generate, gated_hear};

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
