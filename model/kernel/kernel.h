/* What the kernel offers, once for each instruction set. model/kernel/__init__.py has the Python side. */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdint.h>

/* An RNN-RBM's parameters, or their gradient: contiguous, with the shapes that model/rnn_rbm.py gives them. */
typedef struct {
    long n_visible, n_hidden, n_recurrent;
    float *W, *bv, *bh, *Wuh, *Wuv, *Wvu, *Wuu, *bu;
} Parameters;

/* How an update is to be computed. */
typedef struct {
    long gibbs_steps;     /* k of CD-k; 0: cross-entropy of bv_t instead */
    int32_t from_zeros;   /* where the negative chains start: at zeros, or else at the data */
    float dropout;        /* share of notes that the recurrence does not hear */
    float scale;          /* of the gradient: one over the frames of the whole update for its mean */
    uint64_t stream;      /* of random numbers */
} Update;

/* Cells that are given: where kept (frames, n_visible) is 1, a cell is to be as in source (frames, n_visible).
 *
 * After a frame's chain of k steps follow as many more as there are penalties, the logits that a given cell costs while it
 * is otherwise; the last is to be beyond all bounds. The log weights (pieces,) of this annealing are added to. */
typedef struct {
    const uint8_t *kept, *source;
    const float *penalties;
    long n_penalties;
    double *log_weights;
} Clamp;

/* What a piece that plays freely recalls of itself. */
typedef struct {
    float gain;        /* of what it recalls */
    long far, every;   /* from places so many frames back or more, at distances that are multiples of so many */
    long room;         /* frames of the whole piece at most */
    uint8_t *memories; /* (pieces, recall_bytes(room)) in and out; zeros: nothing was heard */
} Recall;

/* The pitch-tied layer's parameters, or their gradient. Channels are a multiple of PAD. */
typedef struct {
    long n_visible, n_planes, n_channels;
    float *conv;  /* (n_planes, SPREAD, channels) */
    float *below; /* (BELOW, channels): of the present frame's keys below; NULL: they are not seen */
    float *bias;  /* (channels,) */
    float *mix;   /* (channels, channels) */
    float *mix_bias, *out; /* (channels,) */
} Tied;

/* The parameters of a model with a gated recurrence as model/kernel/gated.py prepares them: rows of padded width, at vector
 * boundaries; vw, hw and rw are the padded numbers of units. */
typedef struct {
    long n_visible, n_hidden, n_recurrent, n_channels; /* no channels: there is no memory but the last frame */
    const float *W, *WT, *U;                           /* (n_visible, hw), (n_hidden, vw), NADE's (n_visible, hw) or NULL */
    const float *biases, *to_biases;                   /* (vw + hw,), (n_recurrent, vw + hw) */
    const float *heard, *scalars, *Wuu, *bu;           /* (N_HEARD or 1, n_visible, 4 rw), (N_SCALARS, 4 rw), (n_recurrent, 4 rw) */
    const float *gate_u, *gate_s, *gate_bias;          /* (n_recurrent, 2 C), (N_SCALARS, 2 C) */
    Tied tied;
} Gated;

/* How frames are drawn. */
typedef struct {
    float temperature;
    long gibbs_steps;
    int32_t start; /* of the Gibbs chain: FROM_ZEROS, FROM_LAST or FROM_POINTED */
} Drawing;

/* All return 0 when there is no memory, else 1. */
typedef struct {
    const char *name;

    /* Chains of k steps: v (rows, n_visible) in place, bv (rows, n_visible), bh (rows, n_hidden). */
    int (*chains)(const Parameters *, long k, long rows, const float *bv, const float *bh, uint64_t stream, uint8_t *v);

    /* Frames `first` to `last` of each piece: states (pieces, n_recurrent) in and out, rolls (pieces, last - first,
     * n_visible). A clamp gives cells of these frames; NULL: none are. A recall sways them; NULL: nothing does. */
    int (*generate)(const Parameters *, float temperature, long k, long first, long last, long pieces,
                    const uint64_t *seeds, const Clamp *clamp, const Recall *recall, float *states, uint8_t *rolls);

    /* recall.h says the same of these. */
    long (*recall_bytes)(long room);
    int (*recall_hear)(long n_visible, long frames, const uint8_t *rolls, long room, uint8_t *memory);

    /* The recurrent state (n_recurrent,) that frames (frames, n_visible) lead to from the beginning. */
    int (*drive)(const Parameters *, long frames, const uint8_t *rolls, float *state);

    /* Sums over the frames of some sequences: the gradient times `scale`, and in `sums` cost and monitor.
     * v: the frames of all sequences one after another; starts (sequences + 1): where each begins. */
    int (*gradient)(const Parameters *, const Update *, const uint8_t *v, const int64_t *starts, long sequences,
                    Parameters *gradient, double *sums);

    /* Biases that the frames of some sequences set: bv (frames, n_visible), bh (frames, n_hidden). */
    int (*conditionals)(const Parameters *, const uint8_t *v, const int64_t *starts, long sequences, float *bv, float *bh);

    /* Chains from the first of the inverse temperatures to the last, with the logarithms of their AIS weights: v (rows,
     * n_visible) in place; of the parameters it reads W. */
    int (*anneal)(const Parameters *, long n_betas, const float *betas, long rows, const float *bv, const float *bh,
                  uint64_t stream, uint64_t first, uint8_t *v, double *log_weights);

    /* The models with a gated recurrence and a memory: gated.h, memory.h and tied.h say the same of their functions. */
    int (*contexts)(long n_visible, long frames, const uint8_t *rolls, float *planes, float *scalars);
    int (*tied_forward)(const Tied *, long frames, const float *planes, const float *v, const float *gates, const float *kept1,
                        const float *kept2, float *out);
    int (*tied_backward)(const Tied *, long frames, const float *planes, const float *v, const float *gates, const float *kept1,
                         const float *kept2, const float *d_out, float *d_gates, Tied *gradient);
    long (*piece_bytes)(const Gated *, long room);
    int (*gated_generate)(const Gated *, const Drawing *, long first, long last, long pieces, const uint64_t *seeds,
                          const Clamp *clamp, long room, uint8_t *states, uint8_t *rolls);
    int (*gated_hear)(const Gated *, long frames, const uint8_t *rolls, long room, uint8_t *state, float *bv, float *bh,
                      double *log_p);
} InstructionSet;

#endif
