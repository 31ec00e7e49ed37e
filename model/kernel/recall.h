/* What an RNN-RBM that plays freely recalls of its piece: model/recall.py says what it means. */
#ifndef RECALL_H
#define RECALL_H

#include "memory.h"

static const float ALIKE = 1, SURE = 4, TAKEN = 0.5f;
enum { TIMES = 2 };

/* A piece so far. */
typedef struct {
    Memory memory;  /* without traces */
    uint8_t *times; /* (room,) how often each frame was recalled; TIMES: it is not to be */
} Recollection;

static size_t recall_layout(Recollection *r, long room, uint8_t *bytes)
{
    size_t size = memory_layout(r ? &r->memory : NULL, 0, room, bytes);
    if (r) r->times = bytes + size;
    return size + in_lines((size_t)room);
}

static long recall_bytes(long room) { return (long)recall_layout(NULL, room, NULL); }

/* Adds to the biases of the visible units what is recalled for the next frame, the gain at most either way. */
static void recollect(Recollection *r, const Recall *how, long n_visible, float *biases)
{
    Memory *m = &r->memory;
    long t = *m->n - 1, furthest = t < REMEMBERED ? t : REMEMBERED, best = 0;
    for (long lag = how->far; lag <= furthest; lag += how->every)
        if (m->agreement[lag] > (best ? m->agreement[best] : ALIKE) && r->times[t - lag + 1] < TIMES) best = lag;
    if (!best) return;
    float sure = (m->agreement[best] - ALIKE) / SURE;
    if (sure > 1) sure = 1;
    if (sure >= TAKEN) {
        r->times[t - best + 1]++;
        r->times[t + 1] = TIMES;
    }
    for (long i = 0; i < n_visible; i++) biases[i] -= how->gain * sure;
    add_notes(biases, &m->frames[t - best + 1], 2 * how->gain * sure);
}

/* A piece goes on by given frames (frames, n_visible): memory (recall_bytes,) in and out. */
static int recall_hear(long n_visible, long frames, const uint8_t *rolls, long room, uint8_t *memory)
{
    Recollection r;
    recall_layout(&r, room, memory);
    for (long t = 0; t < frames; t++) memory_hear(&r.memory, notes_of(rolls + t * n_visible, n_visible));
    return 1;
}

#endif
