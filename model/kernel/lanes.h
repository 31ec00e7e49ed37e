/* Vectors of LANES floats, for whichever instruction set the including file was set up for.
 *
 * Everything that samples does the same roundings in each lane whatever the width, so that a seed gives the same piece
 * on every instruction set: the compiler may not fuse operations, and those that are fused here are fused everywhere,
 * by FUSED. MULTIPLY_ADD, for training, is fused where the machine can.
 */
#ifndef LANES_H
#define LANES_H

#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline, unused))
#define PAD 16 /* rows of matrices are padded to this many floats, the widest vector */

typedef float vf __attribute__((vector_size(4 * LANES), may_alias));
typedef double vd __attribute__((vector_size(8 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES), may_alias));
typedef uint32_t vu __attribute__((vector_size(4 * LANES), may_alias));

#if LANES == 16
#define FUSED(a, b, c) ((vf)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define MULTIPLY_ADD(a, b, c) FUSED(a, b, c)
#define ROUND(x) ((vf)_mm512_roundscale_ps((__m512)(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))
#define TIMES_POWER(x, n) ((vf)_mm512_scalef_ps((__m512)(x), (__m512)(n)))
#define SMALLER(a, b) ((uint64_t)_mm512_cmp_ps_mask((__m512)(a), (__m512)(b), _CMP_LT_OQ))
#define MINIMUM(a, b) ((vf)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define MAXIMUM(a, b) ((vf)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define WIDEST 12 /* vectors that one sum keeps in registers; with its lanes a multiple of 64 units */
#define BLOCK_ROWS 6
#define BLOCK_VECTORS 4
#elif LANES == 8
#define FUSED(a, b, c) ((vf)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define MULTIPLY_ADD(a, b, c) FUSED(a, b, c)
#define ROUND(x) ((vf)_mm256_round_ps((__m256)(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))
#define TIMES_POWER(x, n) times_power((x), (n))
#define SMALLER(a, b) ((uint64_t)(uint32_t)_mm256_movemask_ps(_mm256_cmp_ps((__m256)(a), (__m256)(b), _CMP_LT_OQ)))
#define MINIMUM(a, b) ((vf)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define MAXIMUM(a, b) ((vf)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define WIDEST 8
#define BLOCK_ROWS 4
#define BLOCK_VECTORS 2
#else
#define FUSED(a, b, c) fused((a), (b), (c))
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define ROUND(x) rounded(x)
#define TIMES_POWER(x, n) times_power((x), (n))
#define SMALLER(a, b) smaller((a), (b))
#define MINIMUM(a, b) choose((a) < (b), (a), (b))
#define MAXIMUM(a, b) choose((a) > (b), (a), (b))
#define WIDEST 16
#define BLOCK_ROWS 4
#define BLOCK_VECTORS 2
#endif

/* Widths that functions are made for, in vectors; WIDEST is the last. */
#define EIGHT_WIDTHS(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8)
#if WIDEST == 8
#define FOR_EACH_WIDTH(DO) EIGHT_WIDTHS(DO)
#elif WIDEST == 12
#define FOR_EACH_WIDTH(DO) EIGHT_WIDTHS(DO) DO(9) DO(10) DO(11) DO(12)
#else
#define FOR_EACH_WIDTH(DO) EIGHT_WIDTHS(DO) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15) DO(16)
#endif

INLINE vf splat(float x) { return x + (vf){0}; }
INLINE vf load(const float *p) { return *(const vf *)p; }
INLINE void store(float *p, vf x) { *(vf *)p = x; }
INLINE vf choose(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }
INLINE long padded(long n) { return (n + PAD - 1) / PAD * PAD; }

INLINE vf fused(vf a, vf b, vf c)
{
#ifdef __FP_FAST_FMAF
    vf sum;
    for (int i = 0; i < LANES; i++) sum[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return sum;
#else /* The product is exact in doubles; the sum is rounded twice, which is the same but once in 2^29. */
    vd product = __builtin_convertvector(a, vd) * __builtin_convertvector(b, vd);
    return __builtin_convertvector(product + __builtin_convertvector(c, vd), vf);
#endif
}

/* The nearest integer, to even from half way, of |x| < 2^22: 1.5 * 2^23 leaves no room for a fraction. */
INLINE vf rounded(vf x)
{
    const vf shift = splat(12582912.0f);
    return (x + shift) - shift;
}

/* x 2^n for x between 1/2 and 2 and |n| <= 126. */
INLINE vf times_power(vf x, vf n) { return (vf)((vi)x + (__builtin_convertvector(n, vi) << 23)); }

INLINE vf limited(vf x, float most) { return MAXIMUM(MINIMUM(x, splat(most)), splat(-most)); }

INLINE uint64_t smaller(vf a, vf b)
{
    vi mask = a < b;
    uint64_t bits = 0;
    for (int i = 0; i < LANES; i++) bits |= (uint64_t)(mask[i] & 1) << i;
    return bits;
}

INLINE vu lane_numbers(uint32_t first)
{
    vu numbers;
    for (int i = 0; i < LANES; i++) numbers[i] = first + (uint32_t)i;
    return numbers;
}

INLINE float sum_of(vf x)
{
    float sum = 0;
    for (int i = 0; i < LANES; i++) sum += x[i];
    return sum;
}

INLINE float product_of(vf x)
{
    float product = 1;
    for (int i = 0; i < LANES; i++) product *= x[i];
    return product;
}

/* exp(x), relative error 1e-7: 2^n times a polynomial for the rest. Where that is more than a float holds, infinity or
 * 2^126, and where it is less, 0 or 2^-126: no unit is drawn differently for that. */
INLINE vf exponential(vf x)
{
    vf y = x * splat(1.44269504f);
#if LANES != 16
    y = limited(y, 126.0f);
#endif
    vf n = ROUND(y), f = y - n;
    vf p = splat(0.001327647129f);
    p = FUSED(p, f, splat(0.009675540961f));
    p = FUSED(p, f, splat(0.055507130921f));
    p = FUSED(p, f, splat(0.240221202374f));
    p = FUSED(p, f, splat(0.693146944046f));
    p = FUSED(p, f, splat(1.000000119209f));
    return TIMES_POWER(p, n);
}

INLINE vf sigmoid(vf x) { return splat(1.0f) / (splat(1.0f) + exponential(-x)); }

INLINE vf hyperbolic_tangent(vf x)
{
    return splat(1.0f) - splat(2.0f) / (splat(1.0f) + exponential(x + x));
}

#endif
