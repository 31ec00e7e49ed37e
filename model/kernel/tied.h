/* The pitch-tied layer: the same small network at every key, which sees the planes of a context around it, for a
 * frame's visible biases. model/gated.py says what it computes.
 *
 * A plane's notes add rows of weights to the keys around them, so the work is that of the notes and not of the keys.
 */
#ifndef TIED_H
#define TIED_H

#include "kernel.h"
#include "matrix.h"

enum { REACH = 12, SPREAD = 2 * REACH + 1, BELOW = 48 };

/* What one frame's layer reads: gates (2 channels,) scale and shift; kept1 and kept2 (channels,), factors of dropout. */
typedef struct {
    const float *planes, *v, *gates, *kept1, *kept2;
} TiedInput;

/* The sum of products, by position modulo PAD, so that all instruction sets round alike. */
static float dot(const float *a, const float *b, long n)
{
    vf sums[PAD / LANES] = {{0}};
    for (long j = 0; j < n; j += PAD)
        for (long i = 0; i < PAD / LANES; i++)
            sums[i] = FUSED(load(a + j + i * LANES), load(b + j + i * LANES), sums[i]);
    float total = 0;
    for (long i = 0; i < PAD / LANES; i++)
        for (int lane = 0; lane < LANES; lane++) total += sums[i][lane];
    return total;
}

INLINE void add_scaled(float *to, const float *row, float value, long C)
{
    for (long c = 0; c < C; c += LANES) store(to + c, FUSED(splat(value), load(row + c), load(to + c)));
}

/* The convolution, at the keys with REACH more below and BELOW more above: z (V + REACH + BELOW, C). */
static void tied_spread(const Tied *p, const TiedInput *in, float *z)
{
    long V = p->n_visible, C = p->n_channels;
    for (long k = 0; k < V; k++) memcpy(z + (k + REACH) * C, p->bias, sizeof(float) * (size_t)C);
    for (long i = 0; i < p->n_planes; i++)
        for (long q = 0; q < V; q++) {
            float x = in->planes[i * V + q];
            if (x == 0) continue;
            const float *row = p->conv + i * SPREAD * C;
            for (long e = 0; e < SPREAD; e++) add_scaled(z + (q + e) * C, row + e * C, x, C);
        }
    if (!p->below) return;
    for (long q = 0; q < V; q++)
        if (in->v[q] != 0)
            for (long e = 0; e < BELOW; e++) add_scaled(z + (q + 1 + e + REACH) * C, p->below + e * C, 1, C);
}

/* a = relu(z (1 + scale) + shift), kept. Rows of keys, without margins. */
static void tied_first(const Tied *p, const TiedInput *in, const float *z, float *a)
{
    long C = p->n_channels;
    for (long k = 0; k < p->n_visible; k++)
        for (long c = 0; c < C; c += LANES) {
            vf x = FUSED(load(z + (k + REACH) * C + c), splat(1) + load(in->gates + c), load(in->gates + C + c));
            store(a + k * C + c, MAXIMUM(x, splat(0)) * load(in->kept1 + c));
        }
}

/* b = relu(mix_bias + a mix), not yet kept. */
static void tied_second(const Tied *p, const float *a, float *b)
{
    long V = p->n_visible, C = p->n_channels;
#if LANES >= 8
    for (long k = 0; k < V; k++) memcpy(b + k * C, p->mix_bias, sizeof(float) * (size_t)C);
    multiply(V, C, C, a, C, 1, p->mix, C, b, C);
#else /* whose products of matrices round otherwise */
    for (long k = 0; k < V; k++) vector_times(C, a + k * C, p->mix, C, p->mix_bias, b + k * C);
#endif
    for (long i = 0; i < V * C; i += LANES) store(b + i, MAXIMUM(load(b + i), splat(0)));
}

static TiedInput tied_input(const Tied *p, long n, const float *planes, const float *v, const float *gates, const float *kept1,
                            const float *kept2)
{
    long V = p->n_visible, C = p->n_channels;
    return (TiedInput){planes + n * p->n_planes * V, v + n * V, gates + n * 2 * C, kept1 + n * C, kept2 + n * C};
}

/* What the layer adds to the visible biases of each frame: out (frames, n_visible). */
static int tied_forward(const Tied *p, long frames, const float *planes, const float *v, const float *gates, const float *kept1,
                        const float *kept2, float *out)
{
    long V = p->n_visible, C = p->n_channels;
    float *z = new_matrix(V + REACH + BELOW, C), *a = new_matrix(V, C), *b = new_matrix(V, C), *weights = new_matrix(1, C);
    int done = z && a && b && weights;
    for (long n = 0; done && n < frames; n++) {
        TiedInput in = tied_input(p, n, planes, v, gates, kept1, kept2);
        tied_spread(p, &in, z);
        tied_first(p, &in, z, a);
        tied_second(p, a, b);
        for (long c = 0; c < C; c += LANES) store(weights + c, load(in.kept2 + c) * load(p->out + c));
        for (long k = 0; k < V; k++) out[n * V + k] = dot(b + k * C, weights, C);
    }
    free(z);
    free(a);
    free(b);
    free(weights);
    return done;
}

/* Adds to the gradient of the convolution's weights: dz (V + REACH + BELOW, C) with margins of zeros. */
static void tied_spread_gradient(const Tied *p, const TiedInput *in, const float *dz, Tied *g)
{
    long V = p->n_visible, C = p->n_channels;
    for (long k = 0; k < V; k++) add_scaled(g->bias, dz + (k + REACH) * C, 1, C);
    for (long i = 0; i < p->n_planes; i++)
        for (long q = 0; q < V; q++) {
            float x = in->planes[i * V + q];
            if (x == 0) continue;
            float *row = g->conv + i * SPREAD * C;
            for (long e = 0; e < SPREAD; e++) add_scaled(row + e * C, dz + (q + e) * C, x, C);
        }
    if (!p->below) return;
    for (long q = 0; q < V; q++)
        if (in->v[q] != 0)
            for (long e = 0; e < BELOW; e++) add_scaled(g->below + e * C, dz + (q + 1 + e + REACH) * C, 1, C);
}

/* From the gradient of the layer's output (frames, n_visible): that of the gates, and, added to, of the parameters. */
static int tied_backward(const Tied *p, long frames, const float *planes, const float *v, const float *gates, const float *kept1,
                         const float *kept2, const float *d_out, float *d_gates, Tied *g)
{
    long V = p->n_visible, C = p->n_channels;
    float *z = new_matrix(V + REACH + BELOW, C), *dz = new_matrix(V + REACH + BELOW, C), *a = new_matrix(V, C);
    float *b = new_matrix(V, C), *da = new_matrix(V, C), *mixT = new_matrix(C, C);
    int done = z && dz && a && b && da && mixT;
    if (done)
        for (long i = 0; i < C; i++)
            for (long j = 0; j < C; j++) mixT[j * C + i] = p->mix[i * C + j];
    for (long n = 0; done && n < frames; n++) {
        TiedInput in = tied_input(p, n, planes, v, gates, kept1, kept2);
        tied_spread(p, &in, z);
        tied_first(p, &in, z, a);
        tied_second(p, a, b);
        for (long k = 0; k < V; k++) /* b becomes its own gradient before the rectifier */
            for (long c = 0; c < C; c += LANES) {
                float *at = b + k * C + c;
                vf value = load(at), d = splat(d_out[n * V + k]) * load(in.kept2 + c), weight = load(p->out + c);
                store(g->out + c, MULTIPLY_ADD(d, value, load(g->out + c)));
                vf slope = choose(value > splat(0), d * weight, splat(0));
                store(at, slope);
                store(g->mix_bias + c, load(g->mix_bias + c) + slope);
            }
        multiply(C, C, V, a, 1, C, b, C, g->mix, C);
        memset(da, 0, sizeof(float) * (size_t)(V * C));
        multiply(V, C, C, b, C, 1, mixT, C, da, C);
        float *d_scale = d_gates + n * 2 * C, *d_shift = d_scale + C;
        for (long c = 0; c < C; c += LANES) {
            vf scale = splat(1) + load(in.gates + c), kept = load(in.kept1 + c), sum_scale = splat(0), sum_shift = splat(0);
            for (long k = 0; k < V; k++) {
                vf d = choose(load(a + k * C + c) > splat(0), load(da + k * C + c) * kept, splat(0));
                sum_shift += d;
                sum_scale = MULTIPLY_ADD(d, load(z + (k + REACH) * C + c), sum_scale);
                store(dz + (k + REACH) * C + c, d * scale);
            }
            store(d_scale + c, sum_scale);
            store(d_shift + c, sum_shift);
        }
        tied_spread_gradient(p, &in, dz, g);
    }
    free(z);
    free(dz);
    free(a);
    free(b);
    free(da);
    free(mixT);
    return done;
}

#endif
