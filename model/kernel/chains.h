/* Chains of many rows whose biases are given: what model/rbm.py's `gibbs_chain` does. */
#ifndef CHAINS_H
#define CHAINS_H

#include "network.h"

static int chains(const Parameters *parameters, long k, long rows, const float *bv, const float *bh, uint64_t stream, uint8_t *v)
{
    Network network;
    if (!network_init(&network, parameters, 1)) return 0;
    const Weights *rbm = &network.rbm;
    long V = rbm->n_visible, H = rbm->n_hidden;
    float *biases = new_matrix(AT_ONCE, network.biases_width);
    for (long row = 0; biases && row < rows; row += AT_ONCE) {
        int n = rows - row < AT_ONCE ? (int)(rows - row) : AT_ONCE;
        uint64_t bits[AT_ONCE][2][LONGEST_UNITS / WORD];
        Chain chain[AT_ONCE];
        for (int i = 0; i < n; i++) {
            float *own = biases + i * network.biases_width;
            memcpy(own, network.biases, sizeof(float) * (size_t)network.biases_width); /* for the padding */
            memcpy(own, bv + (row + i) * V, sizeof(float) * (size_t)V);
            memcpy(own + rbm->visible_width, bh + (row + i) * H, sizeof(float) * (size_t)H);
            bits_of(bits[i][0], v + (row + i) * V, V);
            chain[i] = (Chain){own, own + rbm->visible_width, bits[i][0], bits[i][1], key_of(stream, (uint64_t)(row + i))};
        }
        gibbs_chains(rbm, chain, n, k);
        for (int i = 0; i < n; i++) bytes_of(v + (row + i) * V, bits[i][0], V);
    }
    int complete = biases != NULL;
    free(biases);
    network_free(&network);
    return complete;
}

#endif
