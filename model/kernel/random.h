/* Counter-based random numbers: number i of a stream is a hash of i and the stream's key, so that any thread can
 * compute any of them and nothing is carried along. The hash is `lowbias32` (rounds and multipliers from
 * hash-prospector, C. Wellons), with half of the key added before it and half in its middle.
 */
#ifndef RANDOM_H
#define RANDOM_H

#include "lanes.h"

typedef struct {
    uint32_t first, second;
} Key;

/* The finaliser of splitmix64 (Steele, Lea and Flood 2014). */
INLINE uint64_t mixed(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* The key of one frame's numbers. */
INLINE Key key_of(uint64_t stream, uint64_t frame)
{
    uint64_t z = mixed(mixed(stream) ^ frame);
    return (Key){(uint32_t)z, (uint32_t)(z >> 32)};
}

/* Numbers `counter` to `counter + LANES - 1` of the key, uniform in (0, 1): odd multiples of 2^-24. Only the upper bits
 * of the hash are used, so it does without its last round, which would mix them into the lower ones. */
INLINE vf uniform(Key key, uint32_t counter)
{
    vu x = lane_numbers(0) + (counter + key.first);
    x ^= x >> 16;
    x *= 0x21f0aaadu;
    x ^= x >> 15;
    x += key.second;
    x *= 0xd35a2d97u;
    vf from_one_to_two = (vf)((x >> 9) | 0x3f800000u);
    return from_one_to_two - splat(1.0f - 0x1p-24f);
}

#endif
