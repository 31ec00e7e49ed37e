/* A memory of the piece: model/memory.py says what it holds and what it offers. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdlib.h>
#include <string.h>

#include "lanes.h"

enum { KEY_WORDS = 2, FAR = 12, REMEMBERED = 4096, N_DECAYS = 3, N_PLANES = 10, N_SPANS = 8, N_PERIODS = 7, OCTAVE = 12,
       N_SCALARS = 2 * N_SPANS + 51 + 2 }; /* the last is for training: model/memory.py */

static const float SPANS[N_SPANS - 1] = {0.25f, 0.75f, 1.5f, 2.5f, 4.5f, 8.5f, 16.5f};
static const int PERIODS[N_PERIODS] = {2, 3, 4, 6, 8, 12, 16};
static const float RATES[N_DECAYS] = {1.0f / 4, 1.0f / 16, 1.0f / 64};

typedef struct {
    uint64_t keys[KEY_WORDS];
} Notes;

/* Rows lie in memory that belongs to others, so that who has heard the same can be copied. */
typedef struct {
    long n_visible;
    int64_t *n;       /* frames heard */
    Notes *frames;    /* (room,) */
    int32_t *counts;  /* (room,) notes of each frame */
    float *agreement; /* (REMEMBERED + 1,) by how many frames a position lies back */
    float *traces;    /* (N_DECAYS, n_visible) */
} Memory;

INLINE size_t in_lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* Bytes that the memory of `room` frames takes; if `m` is not NULL, it comes to lie at `bytes`, at a multiple of 64. */
static size_t memory_layout(Memory *m, long n_visible, long room, uint8_t *bytes)
{
    long remembered = room < REMEMBERED ? room : REMEMBERED;
    size_t sizes[] = {sizeof(int64_t), sizeof(Notes) * (size_t)room, sizeof(int32_t) * (size_t)room,
                      sizeof(float) * (size_t)(remembered + 1), sizeof(float) * (size_t)(N_DECAYS * n_visible)};
    size_t at[6] = {0};
    for (int i = 0; i < 5; i++) at[i + 1] = at[i] + in_lines(sizes[i]);
    if (m)
        *m = (Memory){n_visible, (int64_t *)bytes, (Notes *)(bytes + at[1]), (int32_t *)(bytes + at[2]),
                      (float *)(bytes + at[3]), (float *)(bytes + at[4])};
    return at[5];
}

static void memory_hear(Memory *m, Notes x)
{
    long t = *m->n, furthest = t < REMEMBERED ? t : REMEMBERED;
    int count = __builtin_popcountll(x.keys[0]) + __builtin_popcountll(x.keys[1]);
    for (long lag = 1; lag <= furthest; lag++) {
        const Notes *y = &m->frames[t - lag];
        int both = __builtin_popcountll(x.keys[0] & y->keys[0]) + __builtin_popcountll(x.keys[1] & y->keys[1]);
        int either = m->counts[t - lag] + count - both;
        float share = either ? (float)both / (float)either : 1.0f;
        m->agreement[lag] = share * (1.0f + m->agreement[lag]);
    }
    m->frames[t] = x;
    m->counts[t] = count;
    for (int d = 0; d < N_DECAYS; d++)
        for (long i = 0; i < m->n_visible; i++) {
            float *trace = &m->traces[d * m->n_visible + i], sounds = (float)(x.keys[i / 64] >> (i % 64) & 1);
            *trace += RATES[d] * (sounds - *trace);
        }
    *m->n = t + 1;
}

INLINE void add_notes(float *plane, const Notes *notes, float value)
{
    for (int w = 0; w < KEY_WORDS; w++)
        for (uint64_t rest = notes->keys[w]; rest; rest &= rest - 1) plane[w * 64 + __builtin_ctzll(rest)] += value;
}

static int span_of(float agreement)
{
    int span = 0;
    while (span < N_SPANS - 1 && SPANS[span] < agreement) span++;
    return span;
}

/* What followed at all positions, weighted by the eighth and the second power of their agreement. */
static void soft_pointers(const Memory *m, long furthest, float *sharp, float *broad)
{
    double weights[2] = {1, 1}, sums[2][KEY_WORDS * 64] = {{0}};
    for (long lag = 1; lag <= furthest; lag++) {
        double a = m->agreement[lag], square = a * a, eighth = square * square * square * square;
        if (a == 0) continue;
        weights[0] += eighth;
        weights[1] += square;
        const Notes *next = &m->frames[*m->n - lag];
        for (int w = 0; w < KEY_WORDS; w++)
            for (uint64_t rest = next->keys[w]; rest; rest &= rest - 1) {
                int key = w * 64 + __builtin_ctzll(rest);
                sums[0][key] += eighth;
                sums[1][key] += square;
            }
    }
    for (long i = 0; i < m->n_visible; i++) {
        sharp[i] = (float)(sums[0][i] / weights[0]);
        broad[i] = (float)(sums[1][i] / weights[1]);
    }
}

static long best_lag(const Memory *m, long first, long furthest)
{
    long best = 0;
    for (long lag = first; lag <= furthest; lag++)
        if (m->agreement[lag] > (best ? m->agreement[best] : 0.0f)) best = lag;
    return best;
}

/* planes (N_PLANES, n_visible) and scalars for the frame that comes next. */
static void memory_context(const Memory *m, float *planes, float *scalars)
{
    long V = m->n_visible, t = *m->n - 1, furthest = t < REMEMBERED ? t : REMEMBERED;
    memset(planes, 0, sizeof(float) * (size_t)(N_PLANES * V));
    memset(scalars, 0, sizeof(float) * N_SCALARS);
    long best = 0, far = 0;
    if (t >= 0) add_notes(planes, &m->frames[t], 1);
    if (t >= 1) {
        add_notes(planes + V, &m->frames[t - 1], 1);
        best = best_lag(m, 1, furthest);
        far = best_lag(m, FAR, furthest);
        if (best) add_notes(planes + 2 * V, &m->frames[t - best + 1], 1);
        if (far) add_notes(planes + 3 * V, &m->frames[t - far + 1], 1);
        soft_pointers(m, furthest, planes + 4 * V, planes + 5 * V);
    }
    memcpy(planes + 6 * V, m->traces, sizeof(float) * (size_t)(N_DECAYS * V));
    float classes[OCTAVE] = {0};
    for (long i = 0; i < V; i++) classes[i % OCTAVE] += m->traces[V + i];
    for (long i = 0; i < V; i++) planes[9 * V + i] = classes[i % OCTAVE];
    scalars[span_of(best ? m->agreement[best] : 0)] = 1;
    scalars[N_SPANS + span_of(far ? m->agreement[far] : 0)] = 1;
    float *position = scalars + 2 * N_SPANS;
    for (int i = 0; i < N_PERIODS; i++) {
        position[(t + 1) % PERIODS[i]] = 1;
        position += PERIODS[i];
    }
    *position = t < 0;
}

static Notes notes_of(const uint8_t *bytes, long n_visible)
{
    Notes notes = {{0}};
    for (long i = 0; i < n_visible; i++) notes.keys[i / 64] |= (uint64_t)(bytes[i] & 1) << (i % 64);
    return notes;
}

/* The contexts of all frames of a piece: planes (frames, N_PLANES, n_visible), scalars (frames, N_SCALARS). */
static int contexts(long n_visible, long frames, const uint8_t *rolls, float *planes, float *scalars)
{
    Memory m;
    size_t bytes = memory_layout(NULL, n_visible, frames, NULL);
    uint8_t *room = aligned_alloc(64, bytes);
    if (!room) return 0;
    memset(room, 0, bytes);
    memory_layout(&m, n_visible, frames, room);
    for (long t = 0; t < frames; t++) {
        memory_context(&m, planes + t * N_PLANES * n_visible, scalars + t * N_SCALARS);
        memory_hear(&m, notes_of(rolls + t * n_visible, n_visible));
    }
    free(room);
    return 1;
}

#endif
