/* The instruction sets of this machine, best first. */
#include "kernel.h"

#include <stddef.h>

extern const InstructionSet kernel_portable;
#if defined(__x86_64__)
extern const InstructionSet kernel_avx512, kernel_avx2;
#endif

/* The i-th best of the instruction sets that this machine has, or NULL. */
__attribute__((visibility("default"))) const InstructionSet *rnnrbm_kernel(int i)
{
    const InstructionSet *found[3];
    int n = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        found[n++] = &kernel_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found[n++] = &kernel_avx2;
#endif
    found[n++] = &kernel_portable;
    return i >= 0 && i < n ? found[i] : NULL;
}
