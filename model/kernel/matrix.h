/* Matrix products of the sizes that an update has, in registers block by block. */
#ifndef MATRIX_H
#define MATRIX_H

#include <stdlib.h>

#include "lanes.h"

/* A zeroed matrix whose rows begin at vector boundaries; NULL when there is no memory. */
static float *new_matrix(long rows, long width)
{
    size_t bytes = sizeof(float) * (size_t)(rows > 0 ? rows : 1) * (size_t)width;
    float *matrix = aligned_alloc(4 * PAD, bytes);
    if (matrix) memset(matrix, 0, bytes);
    return matrix;
}

INLINE void multiply_block(int m, int n, long K, const float *a, long a_row, long a_column, const float *b, long b_width,
                           float *c, long c_width)
{
    vf sum[BLOCK_ROWS][BLOCK_VECTORS];
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) sum[i][j] = load(c + i * c_width + j * LANES);
    for (long k = 0; k < K; k++) {
        vf row[BLOCK_VECTORS];
        for (int j = 0; j < n; j++) row[j] = load(b + k * b_width + j * LANES);
        for (int i = 0; i < m; i++) {
            vf factor = splat(a[i * a_row + k * a_column]);
            for (int j = 0; j < n; j++) sum[i][j] = MULTIPLY_ADD(factor, row[j], sum[i][j]);
        }
    }
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) store(c + i * c_width + j * LANES, sum[i][j]);
}

#define MULTIPLY_ROWS(n) \
    static __attribute__((noinline)) void multiply_columns_##n(long M, long K, const float *a, long a_row, long a_column, \
                                                               const float *b, long b_width, float *c, long c_width) \
    { \
        long i = 0; \
        for (; i + BLOCK_ROWS <= M; i += BLOCK_ROWS) \
            multiply_block(BLOCK_ROWS, n, K, a + i * a_row, a_row, a_column, b, b_width, c + i * c_width, c_width); \
        for (; i + BLOCK_ROWS / 2 <= M; i += BLOCK_ROWS / 2) \
            multiply_block(BLOCK_ROWS / 2, n, K, a + i * a_row, a_row, a_column, b, b_width, c + i * c_width, c_width); \
        for (; i < M; i++) multiply_block(1, n, K, a + i * a_row, a_row, a_column, b, b_width, c + i * c_width, c_width); \
    }
#if BLOCK_VECTORS == 4
#define FOR_EACH_BLOCK(DO) DO(1) DO(2) DO(3) DO(4)
#else
#define FOR_EACH_BLOCK(DO) DO(1) DO(2)
#endif
FOR_EACH_BLOCK(MULTIPLY_ROWS)
#undef MULTIPLY_ROWS

/* C += A B for C (M, N) and B (K, N) with padded rows; A (M, K) lies by its two strides, so it may be a transpose. */
static void multiply(long M, long N, long K, const float *a, long a_row, long a_column, const float *b, long b_width,
                     float *c, long c_width)
{
    for (long j = 0; j < N; j += BLOCK_VECTORS * LANES) {
        long left = (N - j) / LANES;
#define CASE(n) \
    case n: multiply_columns_##n(M, K, a, a_row, a_column, b + j, b_width, c + j, c_width); break;
        switch (left < BLOCK_VECTORS ? left : BLOCK_VECTORS) { FOR_EACH_BLOCK(CASE) }
#undef CASE
    }
}

/* out = bias + x A for one row x (K,) and A (K, width) with padded rows. */
#define VECTOR_TIMES_BLOCK(n) \
    static __attribute__((noinline)) void vector_times_block_##n(long K, const float *x, const float *a, long width, \
                                                                 const float *bias, float *out) \
    { \
        vf sum[n]; \
        for (int j = 0; j < (n); j++) sum[j] = load(bias + j * LANES); \
        for (long k = 0; k < K; k++, a += width) \
            for (int j = 0; j < (n); j++) sum[j] = FUSED(splat(x[k]), load(a + j * LANES), sum[j]); \
        for (int j = 0; j < (n); j++) store(out + j * LANES, sum[j]); \
    }
FOR_EACH_WIDTH(VECTOR_TIMES_BLOCK)
#undef VECTOR_TIMES_BLOCK

static void vector_times(long K, const float *x, const float *a, long width, const float *bias, float *out)
{
    for (long j = 0; j < width; j += WIDEST * LANES) {
        long left = (width - j) / LANES;
#define CASE(n) \
    case n: vector_times_block_##n(K, x, a + j, width, bias + j, out + j); break;
        switch (left < WIDEST ? left : WIDEST) { FOR_EACH_WIDTH(CASE) }
#undef CASE
    }
}

#endif
