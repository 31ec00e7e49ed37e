/* The gradient of one update, sequence by sequence: model/updates.py has the plain version of it.
 *
 * For T frames: states forward, all biases in one product, the negative chains, the gradient of the biases in their
 * place, one product back to the states, and back through time. As v and the chains' samples are bits, their products
 * with anything are sums of a few rows.
 */
#ifndef GRADIENT_H
#define GRADIENT_H

#include <math.h>

#include "network.h"

/* Room for one sequence; all matrices have padded rows. */
typedef struct {
    float *u;      /* (T + 1, recurrent_width): u_{t-1} in row t */
    float *biases; /* (T, biases_width), then their gradient */
    float *du;     /* (T, recurrent_width): gradient of u_{t-1}, then of what the tanh is taken of */
    float *to_biases_T, *Wuu_T; /* (biases_width, recurrent_width), (recurrent, recurrent_width) */
    float *hidden; /* (2, hidden_width): means given the data and given the sample */
    float *zeros;  /* (recurrent_width,) */
    uint64_t *v, *heard, *sample, *h; /* (T, words of n_visible) thrice, (AT_ONCE, words of n_hidden) */
} Sequence;

/* The gradient, laid out as Network is. */
typedef struct {
    float *W, *biases, *to_biases, *Wvu, *Wuu, *bu;
} Slopes;

typedef struct {
    double cost, monitor;
} Sums;

static void sequence_free(Sequence *s)
{
    float *all[] = {s->u, s->biases, s->du, s->to_biases_T, s->Wuu_T, s->hidden, s->zeros};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(s->v);
}

static int sequence_init(Sequence *s, const Network *n, long T)
{
    long nv = words(n->rbm.n_visible), nh = words(n->rbm.n_hidden);
    *s = (Sequence){new_matrix(T + 1, n->recurrent_width), new_matrix(T, n->biases_width), new_matrix(T + 1, n->recurrent_width),
                    new_matrix(n->biases_width, n->recurrent_width), new_matrix(n->n_recurrent, n->recurrent_width),
                    new_matrix(2, n->rbm.hidden_width), new_matrix(1, n->recurrent_width), 0, 0, 0, 0};
    s->v = calloc((size_t)(3 * T * nv + AT_ONCE * nh + 1), sizeof *s->v);
    if (!(s->u && s->biases && s->du && s->to_biases_T && s->Wuu_T && s->hidden && s->zeros && s->v)) {
        sequence_free(s);
        return 0;
    }
    s->heard = s->v + T * nv;
    s->sample = s->heard + T * nv;
    s->h = s->sample + T * nv;
    transpose(s->to_biases_T, n->recurrent_width, n->to_biases, n->biases_width, n->n_recurrent, n->biases_width);
    transpose(s->Wuu_T, n->recurrent_width, n->Wuu, n->recurrent_width, n->n_recurrent, n->n_recurrent);
    return 1;
}

static void slopes_free(Slopes *s)
{
    float *all[] = {s->W, s->biases, s->to_biases, s->Wvu, s->Wuu, s->bu};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static int slopes_init(Slopes *s, const Network *n)
{
    *s = (Slopes){new_matrix(n->rbm.n_visible, n->rbm.hidden_width), new_matrix(1, n->biases_width),
                  new_matrix(n->n_recurrent, n->biases_width), new_matrix(n->rbm.n_visible, n->recurrent_width),
                  new_matrix(n->n_recurrent, n->recurrent_width), new_matrix(1, n->recurrent_width)};
    if (s->W && s->biases && s->to_biases && s->Wvu && s->Wuu && s->bu) return 1;
    slopes_free(s);
    return 0;
}

/* to += sign * from, vector by vector. */
INLINE void add_row(float *to, const float *from, long width, float sign)
{
    for (long j = 0; j < width; j += LANES) store(to + j, load(to + j) + splat(sign) * load(from + j));
}

/* Bits without a random share of those that are set. */
static void drop(uint64_t *heard, const uint64_t *v, long n_visible, float share, Key key)
{
    for (long w = 0; w < words(n_visible); w++) heard[w] = 0;
    for (long i = 0; i < padded(n_visible); i += LANES)
        heard[i / WORD] |= (~SMALLER(uniform(key, (uint32_t)i), splat(share)) & ((1u << LANES) - 1)) << (i % WORD);
    for (long w = 0; w < words(n_visible); w++) heard[w] &= v[w];
}

/* log(1 + exp(x)) summed over a row: max(x, 0) + log(1 + exp(-|x|)), with one logarithm for up to eight vectors, whose
 * product of factors between 1 and 2 cannot overflow. Padding at NEVER adds nothing. */
static double softplus_sum(const float *x, long width)
{
    double sum = 0;
    vf linear = splat(0);
    for (long j = 0; j < width;) {
        vf product = splat(1);
        for (long end = j + 64 < width ? j + 64 : width; j < end; j += LANES) {
            vf value = load(x + j), positive = MAXIMUM(value, splat(0));
            linear += positive;
            product *= splat(1) + exponential(value - positive - positive);
        }
        sum += logf(product_of(product));
    }
    return sum + sum_of(linear);
}

/* Sum of the elements whose bit is set. */
static double sum_where(const float *x, const uint64_t *bits, long n)
{
    double sum = 0;
    for (long w = 0; w < words(n); w++)
        for (uint64_t rest = bits[w]; rest; rest &= rest - 1) sum += x[w * WORD + __builtin_ctzll(rest)];
    return sum;
}

/* out = bias + sum of the rows whose bit is set. */
static void layer_logits(const float *bias, const float *rows, long width, const uint64_t *from, long n_from, float *out)
{
    for (long j = 0; j < width; j += LANES) store(out + j, load(bias + j));
    for (long w = 0; w < words(n_from); w++)
        for (uint64_t rest = from[w]; rest; rest &= rest - 1)
            add_row(out, rows + (w * WORD + __builtin_ctzll(rest)) * width, width, 1);
}

/* Free energy of v; leaves the hidden means in `means` (hidden_width,). */
static double free_energy(const Weights *rbm, const float *bv, const float *bh, const uint64_t *v, float *means)
{
    layer_logits(bh, rbm->W, rbm->hidden_width, v, rbm->n_visible, means);
    double energy = -sum_where(bv, v, rbm->n_visible) - softplus_sum(means, rbm->hidden_width);
    for (long j = 0; j < rbm->hidden_width; j += LANES) store(means + j, sigmoid(load(means + j)));
    return energy;
}

/* log p(v) under independent units with these logits: nats. */
static double log_likelihood_of_units(const float *logits, const uint64_t *v, const Weights *rbm)
{
    return sum_where(logits, v, rbm->n_visible) - softplus_sum(logits, rbm->visible_width);
}

/* The first `T` states from the frames that are heard. */
static void forward(const Network *n, const Sequence *s, long T)
{
    memset(s->u, 0, sizeof(float) * (size_t)n->recurrent_width);
    for (long t = 0; t + 1 < T; t++)
        next_state(n, s->heard + t * words(n->rbm.n_visible), s->u + t * n->recurrent_width,
                   s->u + (t + 1) * n->recurrent_width);
    for (long t = 0; t < T; t++) memcpy(s->biases + t * n->biases_width, n->biases, sizeof(float) * (size_t)n->biases_width);
    multiply(T, n->biases_width, n->n_recurrent, s->u, n->recurrent_width, 1, n->to_biases, n->biases_width, s->biases,
             n->biases_width);
}

/* Cross-entropy of bv_t, whose gradient is sigmoid(bv_t) - v. */
static void cross_entropy(const Network *n, const Sequence *s, long T, Sums *sums)
{
    const Weights *rbm = &n->rbm;
    for (long t = 0; t < T; t++) {
        const uint64_t *v = s->v + t * words(rbm->n_visible);
        float *d = s->biases + t * n->biases_width;
        double likelihood = log_likelihood_of_units(d, v, rbm);
        sums->cost -= likelihood;
        sums->monitor += likelihood;
        for (long j = 0; j < rbm->visible_width; j += LANES) store(d + j, sigmoid(load(d + j)));
        for (long w = 0; w < words(rbm->n_visible); w++)
            for (uint64_t rest = v[w]; rest; rest &= rest - 1) d[w * WORD + __builtin_ctzll(rest)] -= 1;
        memset(d + rbm->visible_width, 0, sizeof(float) * (size_t)rbm->hidden_width);
    }
}

/* The tutorial's monitor of one frame: log-likelihood of v under the visible means one step from the sample. */
static double monitor(const Network *n, const Chain *chain, const uint64_t *v, uint32_t counter)
{
    float logits[padded(n->rbm.n_visible)] __attribute__((aligned(4 * PAD)));
    sample_hidden(&n->rbm, chain, counter);
    layer_logits(chain->bv, n->rbm.WT, n->rbm.visible_width, chain->h, n->rbm.n_hidden, logits);
    return log_likelihood_of_units(logits, v, &n->rbm);
}

/* Add a row, times a sign, to the gradient of each visible unit whose bit is set in word `w`. */
INLINE void add_to_units(float *slopes, long w, uint64_t bits, const float *row, long width, float sign)
{
    for (; bits; bits &= bits - 1) add_row(slopes + (w * WORD + __builtin_ctzll(bits)) * width, row, width, sign);
}

/* Contrastive divergence of one frame: gradient of its biases in place of them, and of W. A unit that is on in both, as
 * most are, gets the difference of the hidden means at once. */
static double divergence(const Network *n, Slopes *slopes, const Sequence *s, float *biases, const uint64_t *v,
                         const uint64_t *sample)
{
    const Weights *rbm = &n->rbm;
    long width = rbm->hidden_width;
    float *bh = biases + rbm->visible_width, *of_data = s->hidden, *of_sample = s->hidden + width;
    double cost = free_energy(rbm, biases, bh, v, of_data) - free_energy(rbm, biases, bh, sample, of_sample);
    for (long j = 0; j < width; j += LANES) store(bh + j, load(of_sample + j) - load(of_data + j));
    for (long w = 0; w < words(rbm->n_visible); w++) {
        add_to_units(slopes->W, w, v[w] & sample[w], bh, width, 1);
        add_to_units(slopes->W, w, v[w] & ~sample[w], of_data, width, -1);
        add_to_units(slopes->W, w, sample[w] & ~v[w], of_sample, width, 1);
    }
    memset(biases, 0, sizeof(float) * (size_t)rbm->visible_width);
    for (long w = 0; w < words(rbm->n_visible); w++)
        for (uint64_t rest = v[w] ^ sample[w]; rest; rest &= rest - 1) {
            int bit = __builtin_ctzll(rest);
            biases[w * WORD + bit] = v[w] >> bit & 1 ? -1 : 1;
        }
    return cost;
}

/* The negative chains of all frames, and then their divergences. */
static void contrastive_divergence(const Network *n, Slopes *slopes, const Sequence *s, long T, const Update *update,
                                   int64_t first, Sums *sums)
{
    const Weights *rbm = &n->rbm;
    long nv = words(rbm->n_visible), nh = words(rbm->n_hidden);
    for (long t = 0; t < T; t += AT_ONCE) {
        int count = T - t < AT_ONCE ? (int)(T - t) : AT_ONCE;
        Chain chains[AT_ONCE];
        for (int i = 0; i < count; i++) {
            float *biases = s->biases + (t + i) * n->biases_width;
            uint64_t *sample = s->sample + (t + i) * nv;
            if (update->from_zeros) memset(sample, 0, sizeof *sample * (size_t)nv);
            else memcpy(sample, s->v + (t + i) * nv, sizeof *sample * (size_t)nv);
            chains[i] = (Chain){biases, biases + rbm->visible_width, sample, s->h + i * nh,
                                key_of(update->stream, (uint64_t)(first + t + i))};
        }
        uint32_t counter = gibbs_chains(rbm, chains, count, update->gibbs_steps);
        for (int i = 0; i < count; i++) {
            const uint64_t *v = s->v + (t + i) * nv;
            sums->monitor += monitor(n, &chains[i], v, counter);
            sums->cost += divergence(n, slopes, s, s->biases + (t + i) * n->biases_width, v, chains[i].v);
        }
    }
}

/* From the gradient of the biases to that of everything that made them, back through time. */
static void backward(const Network *n, Slopes *slopes, const Sequence *s, long T)
{
    long width = n->recurrent_width, bw = n->biases_width, R = n->n_recurrent, nv = words(n->rbm.n_visible);
    for (long t = 0; t < T; t++) add_row(slopes->biases, s->biases + t * bw, bw, 1);
    multiply(R, bw, T, s->u, 1, width, s->biases, bw, slopes->to_biases, bw);
    memset(s->du, 0, sizeof(float) * (size_t)((T + 1) * width));
    multiply(T, width, bw, s->biases, bw, 1, s->to_biases_T, width, s->du, width);
    for (long t = T - 1; t > 0; t--) { /* row t: u_{t-1}, made from the frame t - 1; row T is zero */
        float *d = s->du + t * width;
        if (t + 1 < T) vector_times(R, d + width, s->Wuu_T, width, d, d);
        for (long j = 0; j < width; j += LANES) {
            vf u = load(s->u + t * width + j);
            store(d + j, load(d + j) * (splat(1) - u * u));
        }
        add_row(slopes->bu, d, width, 1);
        const uint64_t *heard = s->heard + (t - 1) * nv;
        for (long w = 0; w < nv; w++) add_to_units(slopes->Wvu, w, heard[w], d, width, 1);
    }
    if (T > 1) multiply(R, width, T - 1, s->u, 1, width, s->du + width, width, slopes->Wuu, width);
}

static void one_sequence(const Network *n, Slopes *slopes, Sequence *s, const Update *update, const uint8_t *frames,
                         int64_t first, long T, Sums *sums)
{
    long V = n->rbm.n_visible, nv = words(V);
    for (long t = 0; t < T; t++) {
        uint64_t *v = s->v + t * nv, *heard = s->heard + t * nv;
        bits_of(v, frames + t * V, V);
        if (update->dropout > 0) drop(heard, v, V, update->dropout, key_of(~update->stream, (uint64_t)(first + t)));
        else memcpy(heard, v, sizeof *v * (size_t)nv);
    }
    forward(n, s, T);
    if (update->gibbs_steps) contrastive_divergence(n, slopes, s, T, update, first, sums);
    else cross_entropy(n, s, T, sums);
    backward(n, slopes, s, T);
}

static void copy_out(float *to, const float *from, long rows, long columns, long width, float scale)
{
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < columns; j++) to[i * columns + j] = from[i * width + j] * scale;
}

static void slopes_out(const Slopes *s, const Network *n, Parameters *to, float scale)
{
    long V = n->rbm.n_visible, H = n->rbm.n_hidden, R = n->n_recurrent, vw = n->rbm.visible_width;
    copy_out(to->W, s->W, V, H, n->rbm.hidden_width, scale);
    copy_out(to->bv, s->biases, 1, V, n->biases_width, scale);
    copy_out(to->bh, s->biases + vw, 1, H, n->biases_width, scale);
    copy_out(to->Wuv, s->to_biases, R, V, n->biases_width, scale);
    copy_out(to->Wuh, s->to_biases + vw, R, H, n->biases_width, scale);
    copy_out(to->Wvu, s->Wvu, V, R, n->recurrent_width, scale);
    copy_out(to->Wuu, s->Wuu, R, R, n->recurrent_width, scale);
    copy_out(to->bu, s->bu, 1, R, n->recurrent_width, scale);
}

static int gradient(const Parameters *parameters, const Update *update, const uint8_t *v, const int64_t *starts,
                    long sequences, Parameters *result, double *sums)
{
    Network network;
    Slopes slopes;
    Sequence sequence;
    long longest = 0;
    for (long i = 0; i < sequences; i++) longest = starts[i + 1] - starts[i] > longest ? starts[i + 1] - starts[i] : longest;
    if (!network_init(&network, parameters, 1)) return 0;
    int complete = 0;
    if (slopes_init(&slopes, &network)) {
        if (sequence_init(&sequence, &network, longest)) {
            Sums total = {0, 0};
            for (long i = 0; i < sequences; i++)
                one_sequence(&network, &slopes, &sequence, update, v + (starts[i] - starts[0]) * parameters->n_visible, starts[i],
                             starts[i + 1] - starts[i], &total);
            slopes_out(&slopes, &network, result, update->scale);
            sums[0] = total.cost;
            sums[1] = total.monitor;
            complete = 1;
            sequence_free(&sequence);
        }
        slopes_free(&slopes);
    }
    network_free(&network);
    return complete;
}

#endif
