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

/* All return 0 when there is no memory, else 1. */
typedef struct {
    const char *name;

    /* Chains of k steps: v (rows, n_visible) in place, bv (rows, n_visible), bh (rows, n_hidden). */
    int (*chains)(const Parameters *, long k, long rows, const float *bv, const float *bh, uint64_t stream, uint8_t *v);

    /* Frames `first` to `last` of each piece: states (pieces, n_recurrent) in and out, rolls (pieces, last - first,
     * n_visible). A clamp gives cells of these frames; NULL: none are. */
    int (*generate)(const Parameters *, float temperature, long k, long first, long last, long pieces,
                    const uint64_t *seeds, const Clamp *clamp, float *states, uint8_t *rolls);

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
} InstructionSet;

#endif
