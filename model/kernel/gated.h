/* Pieces of the models with a gated recurrence: model/gated.py says what is computed. */
#ifndef GATED_H
#define GATED_H

#include "generation.h"
#include "memory.h"
#include "tied.h"

enum { N_HEARD = 4, LAST_FRAME = 0, POINTED_FRAME = 2, FROM_ZEROS = 0, FROM_LAST = 1, FROM_POINTED = 2 };

static const int HEARD[N_HEARD] = {0, 2, 3, 4}; /* planes that the recurrence takes */

/* One piece so far, and room for its next frame. */
typedef struct {
    Memory memory;
    float *h, *c; /* (rw,) the recurrence */
} Piece;

static size_t piece_layout(Piece *piece, const Gated *p, long room, uint8_t *bytes)
{
    size_t row = in_lines(sizeof(float) * (size_t)padded(p->n_recurrent));
    size_t rest = memory_layout(piece ? &piece->memory : NULL, p->n_visible, room, bytes ? bytes + 2 * row : NULL);
    if (piece) {
        piece->h = (float *)bytes;
        piece->c = (float *)(bytes + row);
    }
    return 2 * row + rest;
}

static long piece_bytes(const Gated *p, long room) { return (long)piece_layout(NULL, p, room, NULL); }

/* What one frame needs on the way. */
typedef struct {
    float *planes, *scalars, *gates, *biases, *tied_gates, *ones, *z, *a, *b, *v, *hidden, *uniforms, *logits;
    Given given;
    float *memory;
} Desk;

static int desk_init(Desk *d, const Gated *p)
{
    long V = p->n_visible, vw = padded(V), hw = padded(p->n_hidden), rw = padded(p->n_recurrent), C = p->n_channels;
    long sizes[] = {N_PLANES * V, N_SCALARS, 4 * rw, vw + hw, 2 * C, C, (V + REACH + BELOW) * C, V * C, V * C, vw, 2 * hw, vw, vw,
                    vw, vw};
    float **rows[] = {&d->planes, &d->scalars, &d->gates, &d->biases, &d->tied_gates, &d->ones, &d->z, &d->a, &d->b, &d->v,
                      &d->hidden, &d->uniforms, &d->logits, &d->given.direction, &d->given.selection};
    long total = 0, n = sizeof sizes / sizeof *sizes;
    for (long i = 0; i < n; i++) total += padded(sizes[i]);
    float *next = d->memory = new_matrix(1, total);
    if (!next) return 0;
    for (long i = 0; i < n; i++) {
        *rows[i] = next;
        next += padded(sizes[i]);
    }
    for (long c = 0; c < C; c++) d->ones[c] = 1;
    return 1;
}

static void add_multiple(float *sum, const float *row, float value, long width)
{
    for (long j = 0; j < width; j += LANES) store(sum + j, FUSED(splat(value), load(row + j), load(sum + j)));
}

static void add_sparse(float *sum, const float *x, long n, const float *rows, long width)
{
    for (long i = 0; i < n; i++)
        if (x[i] != 0) add_multiple(sum, rows + i * width, x[i], width);
}

/* The recurrence takes the context: h and c go on by a frame. Gates: input, forget, output, and the new value. */
static void recur(const Gated *p, const Desk *d, Piece *piece)
{
    long V = p->n_visible, rw = padded(p->n_recurrent), width = 4 * rw;
    float *g = d->gates;
    vector_times(p->n_recurrent, piece->h, p->Wuu, width, p->bu, g);
    int n_heard = p->n_channels ? N_HEARD : 1;
    for (int i = 0; i < n_heard; i++) add_sparse(g, d->planes + HEARD[i] * V, V, p->heard + i * V * width, width);
    if (p->n_channels) add_sparse(g, d->scalars, N_SCALARS, p->scalars, width);
    for (long j = 0; j < rw; j += LANES) {
        vf input = sigmoid(load(g + j)), forget = sigmoid(load(g + rw + j)), output = sigmoid(load(g + 2 * rw + j));
        vf c = FUSED(forget, load(piece->c + j), input * hyperbolic_tangent(load(g + 3 * rw + j)));
        store(piece->c + j, c);
        store(piece->h + j, output * hyperbolic_tangent(c));
    }
}

static TiedInput tied_of(const Desk *d) { return (TiedInput){d->planes, d->v, d->tied_gates, d->ones, d->ones}; }

static float tied_output(const Tied *p, const float *b) { return dot(b, p->out, p->n_channels); }

/* Everything that the frames before say of the next one: biases (vw + hw), for an RBM with the pitch-tied layer in it, for
 * NADE with its convolution in z. */
static void set_biases(const Gated *p, Desk *d, Piece *piece)
{
    long V = p->n_visible, C = p->n_channels, width = padded(V) + padded(p->n_hidden);
    memory_context(&piece->memory, d->planes, d->scalars);
    recur(p, d, piece);
    vector_times(p->n_recurrent, piece->h, p->to_biases, width, p->biases, d->biases);
    if (!C) return;
    vector_times(p->n_recurrent, piece->h, p->gate_u, 2 * C, p->gate_bias, d->tied_gates);
    add_sparse(d->tied_gates, d->scalars, N_SCALARS, p->gate_s, 2 * C);
    TiedInput in = tied_of(d);
    Tied above = p->tied;
    above.below = NULL; /* what sounds in the frame itself is added key by key */
    tied_spread(&above, &in, d->z);
    if (p->U) return;
    tied_first(&p->tied, &in, d->z, d->a);
    tied_second(&p->tied, d->a, d->b);
    for (long k = 0; k < V; k++) d->biases[k] += tied_output(&p->tied, d->b + k * C);
}

/* The logit of key k by NADE, of which the keys below are decided. */
static float nade_logit(const Gated *p, const Desk *d, long k)
{
    long C = p->n_channels, hw = padded(p->n_hidden);
    const float *on = d->hidden + hw, *row = p->U + k * hw;
    float logit = d->biases[k] + dot(on, row, hw);
    if (!C) return logit;
    TiedInput in = tied_of(d);
    Tied one = p->tied;
    one.n_visible = 1;
    tied_first(&one, &in, d->z + k * C, d->a);
    tied_second(&one, d->a, d->b);
    return logit + tied_output(&p->tied, d->b);
}

/* Key k sounds: the hidden units and the keys above learn of it. */
static void nade_sounds(const Gated *p, const Desk *d, long k)
{
    long C = p->n_channels, hw = padded(p->n_hidden);
    float *sum = d->hidden, *on = d->hidden + hw;
    for (long j = 0; j < hw; j += LANES) {
        store(sum + j, load(sum + j) + load(p->W + k * hw + j));
        store(on + j, sigmoid(load(sum + j)));
    }
    if (C)
        for (long e = 0; e < BELOW; e++) add_scaled(d->z + (k + 1 + e + REACH) * C, p->tied.below + e * C, 1, C);
}

static double log_sigmoid(double x) { return x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x)); }

/* A frame drawn key by key, those that are kept as in the source; the logarithm of the probability of the latter. */
static double nade_frame(const Gated *p, const Desk *d, float temperature, Key key, const uint8_t *kept, const uint8_t *source,
                         uint8_t *frame)
{
    long V = p->n_visible, vw = padded(V), hw = padded(p->n_hidden);
    double log_weight = 0;
    memcpy(d->hidden, d->biases + vw, sizeof(float) * (size_t)hw);
    for (long j = 0; j < hw; j += LANES) store(d->hidden + hw + j, sigmoid(load(d->hidden + j)));
    for (long j = 0; j < vw; j += LANES) store(d->uniforms + j, uniform(key, (uint32_t)j));
    for (long k = 0; k < V; k++) {
        double logit = nade_logit(p, d, k) / temperature;
        if (kept && kept[k]) {
            frame[k] = source[k] & 1;
            log_weight += log_sigmoid(frame[k] ? logit : -logit);
        } else
            frame[k] = d->uniforms[k] * (1 + exp(-logit)) < 1;
        if (frame[k]) nade_sounds(p, d, k);
    }
    return log_weight;
}

/* The RBM's weights and a frame's biases at a temperature; the chain starts as `start` says. */
static double rbm_frame(const Gated *p, const Weights *rbm, const Desk *d, float temperature, long k, int start, Key key,
                        const Clamp *clamp, const uint8_t *kept, const uint8_t *source, uint8_t *frame)
{
    long V = p->n_visible, vw = rbm->visible_width, width = vw + rbm->hidden_width;
    for (long j = 0; j < width; j += LANES) store(d->biases + j, load(d->biases + j) / splat(temperature));
    uint64_t v[LONGEST_UNITS / WORD] = {0}, h[LONGEST_UNITS / WORD] = {0};
    if (start != FROM_ZEROS) {
        const float *plane = d->planes + (start == FROM_POINTED && p->n_channels ? POINTED_FRAME : LAST_FRAME) * V;
        for (long i = 0; i < V; i++) v[i / WORD] |= (uint64_t)(plane[i] != 0) << (i % WORD);
    }
    Chain chain = {d->biases, d->biases + vw, v, h, key};
    uint32_t counter = gibbs_chains(rbm, &chain, 1, k);
    double log_weight = 0;
    if (clamp) {
        Room room = {0};
        room.logits = d->logits;
        room.given = d->given;
        choose_given(&room.given, kept, source, V, vw);
        clamp_chains(rbm, &chain, 1, clamp, &room, counter, &log_weight);
    }
    bytes_of(frame, v, V);
    return log_weight;
}

/* The weights of the RBM at a temperature, in memory that the caller frees. */
static float *cooled(const Gated *p, float temperature, Weights *rbm)
{
    long V = p->n_visible, H = p->n_hidden, vw = padded(V), hw = padded(H);
    float *memory = new_matrix(1, V * hw + H * vw);
    if (!memory) return NULL;
    for (long i = 0; i < V * hw; i++) memory[i] = p->W[i] / temperature;
    for (long i = 0; i < H * vw; i++) memory[V * hw + i] = p->WT[i] / temperature;
    *rbm = (Weights){V, H, vw, hw, memory, memory + V * hw};
    return memory;
}

/* Frames `first` to `last` of each piece: states (pieces, piece_bytes) in and out, rolls (pieces, last - first, n_visible). A
 * clamp gives cells of these frames; NULL: none are. */
static int gated_generate(const Gated *p, const Drawing *how, long first, long last, long pieces, const uint64_t *seeds,
                          const Clamp *clamp, long room, uint8_t *states, uint8_t *rolls)
{
    Desk desk;
    Weights rbm;
    if (!desk_init(&desk, p)) return 0;
    float *weights = cooled(p, how->temperature, &rbm);
    long V = p->n_visible, length = last - first;
    for (long i = 0; weights && i < pieces; i++) {
        Piece piece;
        piece_layout(&piece, p, room, states + i * piece_bytes(p, room));
        for (long t = 0; t < length; t++) {
            uint8_t *frame = rolls + (i * length + t) * V;
            const uint8_t *kept = clamp ? clamp->kept + t * V : NULL, *source = clamp ? clamp->source + t * V : NULL;
            Key key = key_of(seeds[i], (uint64_t)(first + t));
            set_biases(p, &desk, &piece);
            double weight = p->U ? nade_frame(p, &desk, how->temperature, key, kept, source, frame)
                                 : rbm_frame(p, &rbm, &desk, how->temperature, how->gibbs_steps, how->start, key, clamp, kept,
                                             source, frame);
            if (clamp) clamp->log_weights[i] += weight;
            memory_hear(&piece.memory, notes_of(frame, V));
        }
    }
    int done = weights != NULL;
    free(weights);
    free(desk.memory);
    return done;
}

/* A piece takes frames as they are: state (piece_bytes,) in and out. For an RBM their biases go to bv (frames, n_visible) and
 * bh (frames, n_hidden), for NADE the logarithms of their probabilities to log_p (frames,), where those are not NULL. */
static int gated_hear(const Gated *p, long frames, const uint8_t *rolls, long room, uint8_t *state, float *bv, float *bh,
                      double *log_p)
{
    Desk desk;
    if (!desk_init(&desk, p)) return 0;
    long V = p->n_visible, H = p->n_hidden;
    uint8_t all[LONGEST_UNITS], heard[LONGEST_UNITS];
    memset(all, 1, sizeof all);
    Piece piece;
    piece_layout(&piece, p, room, state);
    for (long t = 0; t < frames; t++) {
        const uint8_t *frame = rolls + t * V;
        set_biases(p, &desk, &piece);
        if (bv) memcpy(bv + t * V, desk.biases, sizeof(float) * (size_t)V);
        if (bh) memcpy(bh + t * H, desk.biases + padded(V), sizeof(float) * (size_t)H);
        if (log_p) log_p[t] = nade_frame(p, &desk, 1, key_of(0, 0), all, frame, heard);
        memory_hear(&piece.memory, notes_of(frame, V));
    }
    free(desk.memory);
    return 1;
}

#endif
