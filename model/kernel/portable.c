/* The kernel for any machine: four lanes, which compilers map to what there is. */
#define LANES 4
#include "generation.h"
#include "chains.h"
#include "gradient.h"
#include "conditionals.h"
#include "ais.h"
#include "gated.h"

const InstructionSet kernel_portable = {"portable", chains, generate, recall_bytes, recall_hear, drive, gradient, conditionals, anneal,
    contexts, tied_forward, tied_backward, piece_bytes, gated_generate, gated_hear};
