/* Sampling of pieces: model/generation.py says what it means. */
#ifndef GENERATION_H
#define GENERATION_H

#include "network.h"

/* Frames `first` to `last` of up to AT_ONCE pieces, of which `u` (pieces, n_recurrent) is the state before and after. */
static void sample_frames(const Network *network, int n, const uint64_t *seeds, long k, long first, long last, float **u,
                          float **next, float **biases, uint64_t (*bits)[2][LONGEST_UNITS / WORD], uint8_t **rolls)
{
    long V = network->rbm.n_visible;
    for (long t = first; t < last; t++) {
        Chain chains[AT_ONCE];
        for (int i = 0; i < n; i++) {
            vector_times(network->n_recurrent, u[i], network->to_biases, network->biases_width, network->biases, biases[i]);
            uint64_t *v = bits[i][0], *h = bits[i][1];
            for (long w = 0; w < words(V); w++) v[w] = 0;
            chains[i] = (Chain){biases[i], biases[i] + network->rbm.visible_width, v, h, key_of(seeds[i], (uint64_t)t)};
        }
        gibbs_chains(&network->rbm, chains, n, k);
        for (int i = 0; i < n; i++) {
            next_state(network, chains[i].v, u[i], next[i]);
            float *swapped = u[i];
            u[i] = next[i];
            next[i] = swapped;
            bytes_of(rolls[i] + (t - first) * V, chains[i].v, V);
        }
    }
}

static int generate(const Parameters *parameters, float temperature, long k, long first, long last, long n_pieces,
                    const uint64_t *seeds, float *states, uint8_t *rolls)
{
    Network network;
    if (!network_init(&network, parameters, 1 / temperature)) return 0;
    long R = network.n_recurrent, V = network.rbm.n_visible;
    float *scratch = new_matrix(AT_ONCE, 2 * network.recurrent_width + network.biases_width);
    if (!scratch) {
        network_free(&network);
        return 0;
    }
    for (long piece = 0; piece < n_pieces; piece += AT_ONCE) {
        int n = n_pieces - piece < AT_ONCE ? (int)(n_pieces - piece) : AT_ONCE;
        float *u[AT_ONCE], *next[AT_ONCE], *biases[AT_ONCE], *free_space = scratch;
        uint8_t *out[AT_ONCE];
        uint64_t bits[AT_ONCE][2][LONGEST_UNITS / WORD];
        for (int i = 0; i < n; i++) {
            u[i] = free_space;
            next[i] = u[i] + network.recurrent_width;
            biases[i] = next[i] + network.recurrent_width;
            free_space = biases[i] + network.biases_width;
            memcpy(u[i], states + (piece + i) * R, sizeof(float) * (size_t)R);
            out[i] = rolls + (piece + i) * (last - first) * V;
        }
        sample_frames(&network, n, seeds + piece, k, first, last, u, next, biases, bits, out);
        for (int i = 0; i < n; i++) memcpy(states + (piece + i) * R, u[i], sizeof(float) * (size_t)R);
    }
    free(scratch);
    network_free(&network);
    return 1;
}

#endif
