/* The parameters of an RNN-RBM, laid out for the kernel: padded rows, visible and hidden biases side by side. */
#ifndef NETWORK_H
#define NETWORK_H

#include "chain.h"
#include "kernel.h"
#include "matrix.h"

enum {
    AT_ONCE = 2,         /* chains that take turns */
    LONGEST_UNITS = 4096 /* units of a layer at most */
};

static const float NEVER = -1000; /* logit of the padding's units */

typedef struct {
    Weights rbm;
    long n_recurrent, recurrent_width, biases_width; /* biases: visible_width + hidden_width */
    float *W, *WT;                                   /* (n_visible, hidden_width), (n_hidden, visible_width) */
    float *biases;                                   /* (biases_width,): bv, bh; the padding's at NEVER */
    float *to_biases;                                /* (n_recurrent, biases_width): Wuv, Wuh side by side */
    float *Wvu, *Wuu, *bu;                           /* (n_visible, ...), (n_recurrent, recurrent_width), (...,) */
} Network;

static void copy_rows(float *to, long to_width, const float *from, long rows, long columns, float scale)
{
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < columns; j++) to[i * to_width + j] = from[i * columns + j] * scale;
}

/* Tiles of 4 x 4 in registers, the rest one by one. */
static void transpose(float *to, long to_width, const float *from, long from_width, long rows, long columns)
{
    typedef float tile __attribute__((vector_size(16), may_alias, aligned(4)));
    long whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
    for (long i = 0; i < whole_rows; i += 4)
        for (long j = 0; j < whole_columns; j += 4) {
            const float *corner = from + i * from_width + j;
            tile a = *(const tile *)corner, b = *(const tile *)(corner + from_width);
            tile c = *(const tile *)(corner + 2 * from_width), d = *(const tile *)(corner + 3 * from_width);
            tile ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
            tile cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
            float *column = to + j * to_width + i;
            *(tile *)column = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
            *(tile *)(column + to_width) = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
            *(tile *)(column + 2 * to_width) = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
            *(tile *)(column + 3 * to_width) = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
        }
    for (long i = 0; i < rows; i++)
        for (long j = i < whole_rows ? whole_columns : 0; j < columns; j++) to[j * to_width + i] = from[i * from_width + j];
}

static void network_free(Network *network)
{
    float *all[] = {network->W, network->WT, network->biases, network->to_biases, network->Wvu, network->Wuu, network->bu};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* Copy the parameters in, the RBM's multiplied by `scale` (one over the temperature); false without memory. */
static int network_init(Network *network, const Parameters *p, float scale)
{
    long V = p->n_visible, H = p->n_hidden, R = p->n_recurrent, vw = padded(V), hw = padded(H), rw = padded(R), bw = vw + hw;
    *network = (Network){{V, H, vw, hw, 0, 0}, R, rw, bw, new_matrix(V, hw), new_matrix(H, vw), new_matrix(1, bw),
                         new_matrix(R, bw), new_matrix(V, rw), new_matrix(R, rw), new_matrix(1, rw)};
    if (!(network->W && network->WT && network->biases && network->to_biases && network->Wvu && network->Wuu && network->bu)) {
        network_free(network);
        return 0;
    }
    network->rbm.W = network->W;
    network->rbm.WT = network->WT;
    copy_rows(network->W, hw, p->W, V, H, scale);
    transpose(network->WT, vw, network->W, hw, V, H);
    for (long j = 0; j < bw; j++) network->biases[j] = NEVER;
    copy_rows(network->biases, bw, p->bv, 1, V, scale);
    copy_rows(network->biases + vw, bw, p->bh, 1, H, scale);
    copy_rows(network->to_biases, bw, p->Wuv, R, V, scale);
    copy_rows(network->to_biases + vw, bw, p->Wuh, R, H, scale);
    copy_rows(network->Wvu, rw, p->Wvu, V, R, 1);
    copy_rows(network->Wuu, rw, p->Wuu, R, R, 1);
    copy_rows(network->bu, rw, p->bu, 1, R, 1);
    return 1;
}

/* Units that sound, as bits, from bytes of zero and one. */
static void bits_of(uint64_t *bits, const uint8_t *bytes, long n)
{
    for (long w = 0; w < words(n); w++) bits[w] = 0;
    for (long i = 0; i < n; i++) bits[i / WORD] |= (uint64_t)(bytes[i] & 1) << (i % WORD);
}

static void bytes_of(uint8_t *bytes, const uint64_t *bits, long n)
{
    for (long i = 0; i < n; i++) bytes[i] = (uint8_t)(bits[i / WORD] >> (i % WORD) & 1);
}

/* u_t = tanh(bu + v_t Wvu + u_{t-1} Wuu); all three rows have padded length, `next` may not be `u`. */
static void next_state(const Network *network, const uint64_t *v, const float *u, float *next)
{
    long width = network->recurrent_width;
    vector_times(network->n_recurrent, u, network->Wuu, width, network->bu, next);
    for (long w = 0; w < words(network->rbm.n_visible); w++)
        for (uint64_t rest = v[w]; rest; rest &= rest - 1) {
            const float *row = network->Wvu + (w * WORD + __builtin_ctzll(rest)) * width;
            for (long j = 0; j < width; j += LANES) store(next + j, load(next + j) + load(row + j));
        }
    for (long j = 0; j < width; j += LANES) store(next + j, hyperbolic_tangent(load(next + j)));
}

#endif
