/* Annealed importance sampling of RBMs whose biases are given, row by row: what model/annealing.py's `anneal` does.
 *
 * At the inverse temperature b a row's distribution is f_b(v) = exp(v bv) prod_j (1 + exp(bh_j + b (v W)_j)). One sum of
 * rows gives v W, and with it the weight f_after(v) / f_before(v) and the logits of the step that follows; the
 * exponentials at `after` serve both.
 */
#ifndef AIS_H
#define AIS_H

#include "chains.h"

/* log(x) for normal x > 0, relative error 2e-7: of the exponent, and 2 atanh((m - 1) / (m + 1)) of the mantissa m between
 * sqrt(1/2) and sqrt(2). */
INLINE vf logarithm(vf x)
{
    vi exponent = ((vi)x - 0x3f3504f3) >> 23;
    vf m = (vf)((vi)x - (exponent << 23));
    vf s = (m - splat(1)) / (m + splat(1)), square = s * s;
    vf series = MULTIPLY_ADD(square, splat(1 / 9.0f), splat(1 / 7.0f));
    series = MULTIPLY_ADD(square, series, splat(1 / 5.0f));
    series = MULTIPLY_ADD(square, series, splat(1 / 3.0f));
    series = MULTIPLY_ADD(square, series, splat(1));
    return MULTIPLY_ADD(__builtin_convertvector(exponent, vf), splat(0.693147181f), splat(2) * s * series);
}

static const float ZEROS[WIDEST * LANES] __attribute__((aligned(4 * PAD)));

/* Two neighbouring inverse temperatures. */
typedef struct {
    float before, after;
} Pair;

/* Draw a block of the hidden layer at `after`; log f_after(v) / f_before(v) of the block, lane by lane.
 *
 * With softplus(x) = max(x, 0) + log(1 + exp(-|x|)) the factors lie between 1 and 2, so that their products need one
 * logarithm and do not overflow. Where x < 0, u < sigmoid(x) is u (1 + exp(-|x|)) < exp(-|x|). */
#define ANNEAL_HIDDEN(n) \
    static __attribute__((noinline)) vf anneal_hidden_##n(const float *bias, const float *rows, long width, const uint64_t *v, \
                                                          long count, uint64_t *h, long unit, Pair b, Key key, uint32_t counter) \
    { \
        vf sum[n], linear = splat(0), numerator = splat(1), denominator = splat(1); \
        uint64_t word = 0; \
        add_rows(sum, n, ZEROS, rows, width, v, count); \
        for (int j = 0; j < (n); j++) { \
            vf bh = load(bias + j * LANES), x = MULTIPLY_ADD(splat(b.before), sum[j], bh), y = FUSED(splat(b.after), sum[j], bh); \
            vf positive_x = MAXIMUM(x, splat(0)), positive_y = MAXIMUM(y, splat(0)); \
            vf rest_x = exponential(x - positive_x - positive_x), rest_y = exponential(y - positive_y - positive_y); \
            linear += positive_y - positive_x; \
            denominator = MULTIPLY_ADD(denominator, rest_x, denominator); \
            numerator = MULTIPLY_ADD(numerator, rest_y, numerator); \
            vf u = uniform(key, counter + (uint32_t)(unit + j * LANES)); \
            word |= SMALLER(FUSED(u, rest_y, u), choose(y < splat(0), rest_y, splat(1))) << (j * LANES % WORD); \
            if ((j + 1) * LANES % WORD == 0 || j + 1 == (n)) { \
                h[j * LANES / WORD] = word; \
                word = 0; \
            } \
        } \
        return linear + logarithm(numerator / denominator); \
    }
FOR_EACH_WIDTH(ANNEAL_HIDDEN)
#undef ANNEAL_HIDDEN

/* Draw a block of the visible layer. */
#define ANNEAL_VISIBLE(n) \
    static __attribute__((noinline)) void anneal_visible_##n(const float *bias, const float *rows, long width, const uint64_t *h, \
                                                             long count, uint64_t *v, long unit, float b, Key key, \
                                                             uint32_t counter) \
    { \
        vf u[n], sum[n]; \
        uint64_t word = 0; \
        for (int j = 0; j < (n); j++) u[j] = uniform(key, counter + (uint32_t)(unit + j * LANES)); \
        add_rows(sum, n, ZEROS, rows, width, h, count); \
        for (int j = 0; j < (n); j++) { \
            word |= on(FUSED(splat(b), sum[j], load(bias + j * LANES)), u[j]) << (j * LANES % WORD); \
            if ((j + 1) * LANES % WORD == 0 || j + 1 == (n)) { \
                v[j * LANES / WORD] = word; \
                word = 0; \
            } \
        } \
    }
FOR_EACH_WIDTH(ANNEAL_VISIBLE)
#undef ANNEAL_VISIBLE

static vf anneal_hidden(const Weights *rbm, const Chain *c, Pair b, uint32_t counter)
{
    vf total = splat(0);
    for (long unit = 0; unit < rbm->hidden_width; unit += WIDEST * LANES) {
        long left = (rbm->hidden_width - unit) / LANES;
#define CASE(n) \
    case n: \
        total += anneal_hidden_##n(c->bh + unit, rbm->W + unit, rbm->hidden_width, c->v, words(rbm->n_visible), \
                                   c->h + unit / WORD, unit, b, c->key, counter); \
        break;
        switch (left < WIDEST ? left : WIDEST) { FOR_EACH_WIDTH(CASE) }
#undef CASE
    }
    return total;
}

static void anneal_visible(const Weights *rbm, const Chain *c, float b, uint32_t counter)
{
    for (long unit = 0; unit < rbm->visible_width; unit += WIDEST * LANES) {
        long left = (rbm->visible_width - unit) / LANES;
#define CASE(n) \
    case n: \
        anneal_visible_##n(c->bv + unit, rbm->WT + unit, rbm->visible_width, c->h, words(rbm->n_hidden), c->v + unit / WORD, \
                           unit, b, c->key, counter); \
        break;
        switch (left < WIDEST ? left : WIDEST) { FOR_EACH_WIDTH(CASE) }
#undef CASE
    }
}

/* The chains from the first of the inverse temperatures to the last, and the logarithms of their weights. */
static void anneal_chains(const Weights *rbm, const Chain *chains, int n_chains, long n_betas, const float *betas,
                          double *log_weights)
{
    vf total[AT_ONCE] = {{0}};
    uint32_t counter = 0;
    for (long k = 0; k + 1 < n_betas; k++) {
        Pair b = {betas[k], betas[k + 1]};
        for (int i = 0; i < n_chains; i++) total[i] += anneal_hidden(rbm, &chains[i], b, counter);
        counter += (uint32_t)rbm->hidden_width;
        for (int i = 0; i < n_chains; i++) anneal_visible(rbm, &chains[i], b.after, counter);
        counter += (uint32_t)rbm->visible_width;
    }
    for (int i = 0; i < n_chains; i++) log_weights[i] = (double)sum_of(total[i]);
}

/* Row i takes the random numbers of row `first + i` of the stream. `v` is where the chains start, and then where they
 * end. Of the parameters it reads W and the sizes. */
static int anneal(const Parameters *parameters, long n_betas, const float *betas, long rows, const float *bv, const float *bh,
                  uint64_t stream, uint64_t first, uint8_t *v, double *log_weights)
{
    long V = parameters->n_visible, H = parameters->n_hidden;
    Weights rbm;
    int complete = weights_init(&rbm, V, H, parameters->W);
    float *biases = new_matrix(AT_ONCE, rbm.visible_width + rbm.hidden_width);
    complete = complete && biases;
    for (long row = 0; complete && row < rows; row += AT_ONCE) {
        int n = rows - row < AT_ONCE ? (int)(rows - row) : AT_ONCE;
        uint64_t bits[AT_ONCE][2][LONGEST_UNITS / WORD];
        Chain chains[AT_ONCE];
        for (int i = 0; i < n; i++)
            chains[i] = chain_of(&rbm, bv + (row + i) * V, bh + (row + i) * H, v + (row + i) * V,
                                 biases + i * (rbm.visible_width + rbm.hidden_width), bits[i],
                                 key_of(stream, first + (uint64_t)(row + i)));
        anneal_chains(&rbm, chains, n, n_betas, betas, log_weights + row);
        for (int i = 0; i < n; i++) bytes_of(v + (row + i) * V, bits[i][0], V);
    }
    free(biases);
    free((float *)rbm.W);
    free((float *)rbm.WT);
    return complete;
}

#endif
