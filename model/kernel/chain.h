/* The Gibbs chain of one frame's RBM. The units are bits and a unit's row of weights is added where its bit is set:
 * there is no product in it, and no work for the units that are off, most of the visible ones.
 */
#ifndef CHAIN_H
#define CHAIN_H

#include "random.h"

enum { WORD = 64 };

INLINE long words(long n) { return (long)((unsigned long)(n + WORD - 1) / WORD); }

/* An RBM's weights, as rows of padded length: one row a visible unit, and one a hidden unit. */
typedef struct {
    long n_visible, n_hidden;         /* units */
    long visible_width, hidden_width; /* padded */
    const float *W, *WT;              /* (n_visible, hidden_width), (n_hidden, visible_width) */
} Weights;

/* bias + the rows whose bit is set, in `n` vectors of registers. */
INLINE void add_rows(vf *sum, int n, const float *bias, const float *rows, long width, const uint64_t *bits, long count)
{
    for (int j = 0; j < n; j++) sum[j] = load(bias + j * LANES);
    for (long w = 0; w < count; w++) {
        const float *first = rows + w * WORD * width;
        for (uint64_t rest = bits[w]; rest; rest &= rest - 1) {
            const float *row = first + __builtin_ctzll(rest) * width;
            for (int j = 0; j < n; j++) sum[j] += load(row + j * LANES);
        }
    }
}

/* Bits that are 1 with probability sigmoid(logit): u < sigmoid(a) is u exp(-a) + u < 1, without a division. */
INLINE uint64_t on(vf logits, vf u) { return SMALLER(FUSED(u, exponential(-logits), u), splat(1.0f)); }

INLINE uint64_t bernoulli(vf logits, Key key, uint32_t counter) { return on(logits, uniform(key, counter)); }

/* A block of a layer, in a function of its own for each width: the sums stay in registers. The random numbers come
 * first, as they need not wait for the rows. */
#define SAMPLE_BLOCK(n) \
    static __attribute__((noinline)) void sample_block_##n( \
        const float *bias, const float *rows, long width, const uint64_t *from, long count, uint64_t *to, long unit, \
        Key key, uint32_t counter) \
    { \
        vf u[n], sum[n]; \
        uint64_t word = 0; \
        for (int j = 0; j < (n); j++) u[j] = uniform(key, counter + (uint32_t)(unit + j * LANES)); \
        add_rows(sum, n, bias, rows, width, from, count); \
        for (int j = 0; j < (n); j++) { \
            word |= on(sum[j], u[j]) << (j * LANES % WORD); \
            if ((j + 1) * LANES % WORD == 0 || j + 1 == (n)) { \
                to[j * LANES / WORD] = word; \
                word = 0; \
            } \
        } \
    }
FOR_EACH_WIDTH(SAMPLE_BLOCK)
#undef SAMPLE_BLOCK

/* Draw one layer from the other: `width` logits, of which the padding's are too low for any number to pass. */
static void sample_layer(const float *bias, const float *rows, long width, const uint64_t *from, long n_from,
                         uint64_t *to, Key key, uint32_t counter)
{
    for (long unit = 0; unit < width; unit += WIDEST * LANES) {
        long left = (width - unit) / LANES;
#define CASE(n) \
    case n: \
        sample_block_##n(bias + unit, rows + unit, width, from, words(n_from), to + unit / WORD, unit, key, counter); \
        break;
        switch (left < WIDEST ? left : WIDEST) { FOR_EACH_WIDTH(CASE) }
#undef CASE
    }
}

/* What one chain runs on: biases of padded width, the units as bits, and the key of its numbers. */
typedef struct {
    const float *bv, *bh;
    uint64_t *v, *h;
    Key key;
} Chain;

INLINE void sample_hidden(const Weights *weights, const Chain *c, uint32_t counter)
{
    sample_layer(c->bh, weights->W, weights->hidden_width, c->v, weights->n_visible, c->h, c->key, counter);
}

INLINE void sample_visible(const Weights *weights, const Chain *c, uint32_t counter)
{
    sample_layer(c->bv, weights->WT, weights->visible_width, c->h, weights->n_hidden, c->v, c->key, counter);
}

/* A block of the visible units' logits given the hidden ones. */
#define LOGITS_BLOCK(n) \
    static __attribute__((noinline)) void logits_block_##n(const float *bias, const float *rows, long width, \
                                                           const uint64_t *from, long count, float *logits) \
    { \
        vf sum[n]; \
        add_rows(sum, n, bias, rows, width, from, count); \
        for (int j = 0; j < (n); j++) store(logits + j * LANES, sum[j]); \
    }
FOR_EACH_WIDTH(LOGITS_BLOCK)
#undef LOGITS_BLOCK

static void visible_logits(const Weights *weights, const Chain *c, float *logits)
{
    long width = weights->visible_width;
    for (long unit = 0; unit < width; unit += WIDEST * LANES) {
        long left = (width - unit) / LANES;
#define CASE(n) \
    case n: logits_block_##n(c->bv + unit, weights->WT + unit, width, c->h, words(weights->n_hidden), logits + unit); break;
        switch (left < WIDEST ? left : WIDEST) { FOR_EACH_WIDTH(CASE) }
#undef CASE
    }
}

/* `k` steps v -> h -> v of each chain; the counter of the next number.
 *
 * With two chains in turns the processor begins one while it waits for the other: a tenth faster each.
 */
static uint32_t gibbs_chains(const Weights *weights, const Chain *chains, int n_chains, long k)
{
    uint32_t counter = 0;
    for (long step = 0; step < k; step++) {
        for (int i = 0; i < n_chains; i++) sample_hidden(weights, &chains[i], counter);
        counter += (uint32_t)weights->hidden_width;
        for (int i = 0; i < n_chains; i++) sample_visible(weights, &chains[i], counter);
        counter += (uint32_t)weights->visible_width;
    }
    return counter;
}

#endif
