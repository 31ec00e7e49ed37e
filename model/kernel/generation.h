/* Sampling of pieces, freely or around cells that are given: model/generation.py says what it means. */
#ifndef GENERATION_H
#define GENERATION_H

#include <math.h>

#include "network.h"
#include "recall.h"

/* Cells that are given, for one frame; rows of padded width. */
typedef struct {
    float *direction; /* 1: sounding, -1: silent, 0: not given */
    float *selection; /* 0: given; NEVER: not */
} Given;

/* The room of the chains that take turns; rows of padded width. */
typedef struct {
    float *memory, *u[AT_ONCE], *next[AT_ONCE], *biases[AT_ONCE], *logits;
    Given given;
} Room;

static int room_init(Room *room, const Network *network)
{
    long rw = network->recurrent_width, bw = network->biases_width, vw = network->rbm.visible_width;
    float *free_space = room->memory = new_matrix(1, AT_ONCE * (2 * rw + bw) + 3 * vw);
    if (!free_space) return 0;
    for (int i = 0; i < AT_ONCE; i++) {
        room->u[i] = free_space;
        room->next[i] = room->u[i] + rw;
        room->biases[i] = room->next[i] + rw;
        free_space = room->biases[i] + bw;
    }
    room->logits = free_space;
    room->given = (Given){free_space + vw, free_space + 2 * vw};
    return 1;
}

static void choose_given(const Given *given, const uint8_t *kept, const uint8_t *source, long n_visible, long width)
{
    for (long i = 0; i < width; i++) {
        int is_given = i < n_visible && kept[i];
        given->direction[i] = is_given ? (source[i] ? 1.0f : -1.0f) : 0.0f;
        given->selection[i] = is_given ? 0.0f : NEVER;
    }
}

/* log of the product over the given cells of P(as given) + exp(-penalty) P(otherwise), but for their P(as given): the
 * sum of log(1 + exp(-direction logit - penalty)).
 *
 * It is summed by position modulo PAD, so that all instruction sets round alike. The factors lie between 1 and 2 and
 * there are at most 128 of them, as many as MIDI has notes: a double holds their product. */
static double relaxation(const Given *given, const float *logits, long width, float penalty)
{
    float linear[PAD] __attribute__((aligned(4 * PAD))) = {0}, product[PAD] __attribute__((aligned(4 * PAD)));
    for (int i = 0; i < PAD; i++) product[i] = 1;
    for (long j = 0; j < width; j += LANES) {
        float *sum = linear + j % PAD, *factor = product + j % PAD;
        vf x = load(given->selection + j) - load(given->direction + j) * load(logits + j) - splat(penalty);
        vf positive = MAXIMUM(x, splat(0));
        store(sum, load(sum) + positive);
        store(factor, load(factor) * (splat(1) + exponential(x - positive - positive)));
    }
    double total = 0, factors = 1;
    for (int i = 0; i < PAD; i++) {
        total += linear[i];
        factors *= product[i];
    }
    return total + log(factors);
}

/* Draw the visible units where a given cell that is otherwise costs `after`; the log weight of the step there from
 * `before`. */
static double sample_penalised(const Weights *rbm, const Chain *c, const Given *given, float *logits, float before, float after,
                               uint32_t counter)
{
    long width = rbm->visible_width;
    visible_logits(rbm, c, logits);
    for (long w = 0; w < words(rbm->n_visible); w++) c->v[w] = 0;
    for (long j = 0; j < width; j += LANES)
        c->v[j / WORD] |= bernoulli(load(logits + j) + splat(after) * load(given->direction + j), c->key, counter + (uint32_t)j)
                          << (j % WORD);
    return relaxation(given, logits, width, after) - relaxation(given, logits, width, before);
}

/* From samples of the RBM to samples given the cells, by annealed importance sampling. Adds to the log weights. */
static void clamp_chains(const Weights *rbm, const Chain *chains, int n_chains, const Clamp *clamp, const Room *room,
                         uint32_t counter, double *log_weights)
{
    float before = 0;
    for (long step = 0; step < clamp->n_penalties; step++) {
        float after = clamp->penalties[step];
        for (int i = 0; i < n_chains; i++) sample_hidden(rbm, &chains[i], counter);
        counter += (uint32_t)rbm->hidden_width;
        for (int i = 0; i < n_chains; i++)
            log_weights[i] += sample_penalised(rbm, &chains[i], &room->given, room->logits, before, after, counter);
        counter += (uint32_t)rbm->visible_width;
        before = after;
    }
}

/* Frame t of up to AT_ONCE pieces, of which room->u has the states before and after. */
static void sample_frame(const Network *network, int n, const uint64_t *seeds, long k, long t, const Clamp *clamp,
                         double *log_weights, const Recall *recall, Recollection *recollections, Room *room,
                         uint64_t (*bits)[2][LONGEST_UNITS / WORD])
{
    Chain chains[AT_ONCE];
    for (int i = 0; i < n; i++) {
        float *biases = room->biases[i];
        vector_times(network->n_recurrent, room->u[i], network->to_biases, network->biases_width, network->biases, biases);
        if (recall) recollect(&recollections[i], recall, network->rbm.n_visible, biases);
        uint64_t *v = bits[i][0], *h = bits[i][1];
        for (long w = 0; w < words(network->rbm.n_visible); w++) v[w] = 0;
        chains[i] = (Chain){biases, biases + network->rbm.visible_width, v, h, key_of(seeds[i], (uint64_t)t)};
    }
    uint32_t counter = gibbs_chains(&network->rbm, chains, n, k);
    if (clamp) clamp_chains(&network->rbm, chains, n, clamp, room, counter, log_weights);
    for (int i = 0; i < n; i++) {
        next_state(network, chains[i].v, room->u[i], room->next[i]);
        if (recall) memory_hear(&recollections[i].memory, (Notes){{chains[i].v[0], chains[i].v[1]}});
        float *swapped = room->u[i];
        room->u[i] = room->next[i];
        room->next[i] = swapped;
    }
}

static int generate(const Parameters *parameters, float temperature, long k, long first, long last, long n_pieces,
                    const uint64_t *seeds, const Clamp *clamp, const Recall *recall, float *states, uint8_t *rolls)
{
    Network network;
    Room room;
    if (!network_init(&network, parameters, 1 / temperature)) return 0;
    if (!room_init(&room, &network)) {
        network_free(&network);
        return 0;
    }
    long R = network.n_recurrent, V = network.rbm.n_visible, length = last - first;
    Recall scaled = recall ? *recall : (Recall){0};
    scaled.gain /= temperature; /* as the biases are */
    for (long piece = 0; piece < n_pieces; piece += AT_ONCE) {
        int n = n_pieces - piece < AT_ONCE ? (int)(n_pieces - piece) : AT_ONCE;
        uint64_t bits[AT_ONCE][2][LONGEST_UNITS / WORD] = {{{0}}};
        Recollection recollections[AT_ONCE];
        for (int i = 0; i < n; i++) {
            memcpy(room.u[i], states + (piece + i) * R, sizeof(float) * (size_t)R);
            if (recall)
                recall_layout(&recollections[i], recall->room, recall->memories + (piece + i) * recall_bytes(recall->room));
        }
        for (long t = 0; t < length; t++) {
            if (clamp) choose_given(&room.given, clamp->kept + t * V, clamp->source + t * V, V, network.rbm.visible_width);
            sample_frame(&network, n, seeds + piece, k, first + t, clamp, clamp ? clamp->log_weights + piece : NULL,
                         recall ? &scaled : NULL, recollections, &room, bits);
            for (int i = 0; i < n; i++) bytes_of(rolls + ((piece + i) * length + t) * V, bits[i][0], V);
        }
        for (int i = 0; i < n; i++) memcpy(states + (piece + i) * R, room.u[i], sizeof(float) * (size_t)R);
    }
    free(room.memory);
    network_free(&network);
    return 1;
}

/* The recurrent state (n_recurrent,) that frames lead to from the beginning. */
static int drive(const Parameters *parameters, long frames, const uint8_t *rolls, float *state)
{
    Network network;
    Room room;
    if (!network_init(&network, parameters, 1)) return 0;
    if (!room_init(&room, &network)) {
        network_free(&network);
        return 0;
    }
    float *u = room.u[0], *next = room.next[0];
    uint64_t v[LONGEST_UNITS / WORD];
    for (long t = 0; t < frames; t++) {
        bits_of(v, rolls + t * network.rbm.n_visible, network.rbm.n_visible);
        next_state(&network, v, u, next);
        float *swapped = u;
        u = next;
        next = swapped;
    }
    memcpy(state, u, sizeof(float) * (size_t)network.n_recurrent);
    free(room.memory);
    network_free(&network);
    return 1;
}

#endif
