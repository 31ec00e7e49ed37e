/* The biases of every frame's RBM, set by the frames before it: what model/rnn_rbm.py's `biases_of` does. */
#ifndef CONDITIONALS_H
#define CONDITIONALS_H

#include "network.h"

static void biases_of_sequence(const Network *network, const uint8_t *frames, long T, float *u, float *next, float *biases,
                               float *bv, float *bh)
{
    long V = network->rbm.n_visible, H = network->rbm.n_hidden;
    uint64_t v[LONGEST_UNITS / WORD];
    memset(u, 0, sizeof(float) * (size_t)network->recurrent_width);
    for (long t = 0; t < T; t++) {
        vector_times(network->n_recurrent, u, network->to_biases, network->biases_width, network->biases, biases);
        memcpy(bv + t * V, biases, sizeof(float) * (size_t)V);
        memcpy(bh + t * H, biases + network->rbm.visible_width, sizeof(float) * (size_t)H);
        bits_of(v, frames + t * V, V);
        next_state(network, v, u, next);
        float *swapped = u;
        u = next;
        next = swapped;
    }
}

/* v: the frames of all sequences one after another; starts (sequences + 1): where each begins, the first at 0. */
static int conditionals(const Parameters *parameters, const uint8_t *v, const int64_t *starts, long sequences, float *bv,
                        float *bh)
{
    Network network;
    if (!network_init(&network, parameters, 1)) return 0;
    long V = network.rbm.n_visible, H = network.rbm.n_hidden, width = network.recurrent_width;
    float *scratch = new_matrix(1, 2 * width + network.biases_width);
    for (long i = 0; scratch && i < sequences; i++)
        biases_of_sequence(&network, v + starts[i] * V, starts[i + 1] - starts[i], scratch, scratch + width, scratch + 2 * width,
                           bv + starts[i] * V, bh + starts[i] * H);
    int complete = scratch != NULL;
    free(scratch);
    network_free(&network);
    return complete;
}

#endif
