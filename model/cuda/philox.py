"""Counted random numbers: Philox-4x32-10 (Salmon, Moraes, Dror and Shaw 2011) in PyTorch, as Triton's tl.philox has it.

A number is a hash of where it is used, so that neither the device, nor the order of work, nor the rows beside it
change it. Integers of 32 bits are kept in tensors of 64, as PyTorch has no unsigned arithmetic.
"""

import torch
from torch import Tensor

ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
LOW = 0xFFFFFFFF

Words = tuple[Tensor, Tensor, Tensor, Tensor]


def philox(key: int, counter: Words) -> Words:
    """Four independent words of 32 bits for a key of 64 bits and a counter of four words, whose shapes broadcast."""
    c0, c1, c2, c3 = counter
    k0, k1 = key & LOW, key >> 32 & LOW
    for _ in range(ROUNDS):
        (high0, low0), (high2, low2) = _product(c0, MULTIPLIERS[0]), _product(c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = high2 ^ c1 ^ k0, low2, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + WEYL[0]) & LOW, (k1 + WEYL[1]) & LOW
    return c0, c1, c2, c3


def _product(word: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """High and low word of a product of two words, from halves, as 64 bits with a sign do not hold it."""
    lower, upper = (word & 0xFFFF) * factor, (word >> 16) * factor
    low = (lower + ((upper & 0xFFFF) << 16)) & LOW
    high = (upper + (lower >> 16)) >> 16
    return high, low


def uniform(words: Tensor) -> Tensor:
    """Numbers in (0, 1), float32, from words of 32 bits: the middles of 2^23 intervals."""
    return (words >> 9).to(torch.float32) * 2.0**-23 + 2.0**-24
