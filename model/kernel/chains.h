/* Chains of many rows whose biases are given: what model/rbm.py's `gibbs_chain` does. */
#ifndef CHAINS_H
#define CHAINS_H

#include "network.h"

/* The weights both ways, in memory of their own; false without memory. */
static int weights_init(Weights *rbm, long n_visible, long n_hidden, const float *W)
{
    long vw = padded(n_visible), hw = padded(n_hidden);
    float *rows = new_matrix(n_visible, hw), *columns = new_matrix(n_hidden, vw);
    *rbm = (Weights){n_visible, n_hidden, vw, hw, rows, columns};
    if (!rows || !columns) return 0;
    copy_rows(rows, hw, W, n_visible, n_hidden, 1);
    transpose(columns, vw, rows, hw, n_visible, n_hidden);
    return 1;
}

/* A chain on biases copied to `own` (visible_width + hidden_width), whose padding is at NEVER. */
static Chain chain_of(const Weights *rbm, const float *bv, const float *bh, const uint8_t *v, float *own,
                      uint64_t bits[2][LONGEST_UNITS / WORD], Key key)
{
    for (long j = 0; j < rbm->visible_width + rbm->hidden_width; j++) own[j] = NEVER;
    memcpy(own, bv, sizeof(float) * (size_t)rbm->n_visible);
    memcpy(own + rbm->visible_width, bh, sizeof(float) * (size_t)rbm->n_hidden);
    bits_of(bits[0], v, rbm->n_visible);
    return (Chain){own, own + rbm->visible_width, bits[0], bits[1], key};
}

/* Of the parameters it reads W and the sizes. */
static int chains(const Parameters *parameters, long k, long rows, const float *bv, const float *bh, uint64_t stream, uint8_t *v)
{
    long V = parameters->n_visible, H = parameters->n_hidden;
    Weights rbm;
    int complete = weights_init(&rbm, V, H, parameters->W);
    long width = rbm.visible_width + rbm.hidden_width;
    float *biases = new_matrix(AT_ONCE, width);
    complete = complete && biases;
    for (long row = 0; complete && row < rows; row += AT_ONCE) {
        int n = rows - row < AT_ONCE ? (int)(rows - row) : AT_ONCE;
        uint64_t bits[AT_ONCE][2][LONGEST_UNITS / WORD];
        Chain chain[AT_ONCE];
        for (int i = 0; i < n; i++)
            chain[i] = chain_of(&rbm, bv + (row + i) * V, bh + (row + i) * H, v + (row + i) * V, biases + i * width, bits[i],
                                key_of(stream, (uint64_t)(row + i)));
        gibbs_chains(&rbm, chain, n, k);
        for (int i = 0; i < n; i++) bytes_of(v + (row + i) * V, bits[i][0], V);
    }
    free(biases);
    free((float *)rbm.W);
    free((float *)rbm.WT);
    return complete;
}

#endif
