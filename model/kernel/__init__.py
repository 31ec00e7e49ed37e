"""The compiled CPU kernel: the same mathematics as the PyTorch modules, in C, about twenty times as fast.

It is built when the project is installed, if there is a C compiler; `best()` is None where it was not. Its vectors are
as wide as the processor at hand allows. Calls run without the GIL, so that threads of Python share the cores, and
random numbers are counted, not carried along: neither threads nor the width of the vectors change a sample.
"""

from collections.abc import Callable, Mapping
from ctypes import (
    CDLL,
    CFUNCTYPE,
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_double,
    c_float,
    c_int,
    c_int32,
    c_long,
    c_uint64,
    c_void_p,
)
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.config import ModelConfig
from model.parameters import NAMES, Array, Parameters

Frames = NDArray[np.bool_]


class _Parameters(Structure):
    _fields_ = [
        *((name, c_long) for name in ("n_visible", "n_hidden", "n_recurrent")),
        *((name, c_void_p) for name in NAMES),
    ]  # fmt: skip


class _Update(Structure):
    _fields_ = [
        ("gibbs_steps", c_long),
        ("from_zeros", c_int32),
        ("dropout", c_float),
        ("scale", c_float),
        ("stream", c_uint64),
    ]


class _Clamp(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("kept", "source", "penalties")),
        ("n_penalties", c_long),
        ("log_weights", c_void_p),
    ]  # fmt: skip


class _Recall(Structure):
    _fields_ = [("gain", c_float), *((name, c_long) for name in ("far", "every", "room")), ("memories", c_void_p)]


_Array = c_void_p
_Model = POINTER(_Parameters)


class TiedView(Structure):
    """`Tied` of kernel.h."""

    _fields_ = [
        *((name, c_long) for name in ("n_visible", "n_planes", "n_channels")),
        *((name, c_void_p) for name in ("conv", "below", "bias", "mix", "mix_bias", "out")),
    ]  # fmt: skip


class GatedView(Structure):
    """`Gated` of kernel.h."""

    _fields_ = [
        *((name, c_long) for name in ("n_visible", "n_hidden", "n_recurrent", "n_channels")),
        *((name, c_void_p) for name in ("W", "WT", "U", "biases", "to_biases", "heard", "scalars", "Wuu", "bu")),
        *((name, c_void_p) for name in ("gate_u", "gate_s", "gate_bias")),
        ("tied", TiedView),
    ]  # fmt: skip


STARTS = {"zeros": 0, "last": 1, "pointed": 2}
"""Where a frame's Gibbs chain starts: at zeros, at the frame before, or at what followed an earlier place like this."""


class Drawing(Structure):
    """How frames are drawn: `start` of the Gibbs chains is one of STARTS' numbers."""

    _fields_ = [("temperature", c_float), ("gibbs_steps", c_long), ("start", c_int32)]


class _InstructionSet(Structure):
    """`InstructionSet` of kernel.h. ctypes lets go of the GIL around each call."""

    _fields_ = [
        ("name", c_char_p),
        ("chains", CFUNCTYPE(c_int, _Model, c_long, c_long, _Array, _Array, c_uint64, _Array)),
        (
            "generate",
            CFUNCTYPE(
                c_int, _Model, c_float, c_long, c_long, c_long, c_long, _Array, POINTER(_Clamp), POINTER(_Recall),
                _Array, _Array
            ),
        ),
        ("recall_bytes", CFUNCTYPE(c_long, c_long)),
        ("recall_hear", CFUNCTYPE(c_int, c_long, c_long, _Array, c_long, _Array)),
        ("drive", CFUNCTYPE(c_int, _Model, c_long, _Array, _Array)),
        ("gradient", CFUNCTYPE(c_int, _Model, POINTER(_Update), _Array, _Array, c_long, _Model, _Array)),
        ("conditionals", CFUNCTYPE(c_int, _Model, _Array, _Array, c_long, _Array, _Array)),
        ("anneal", CFUNCTYPE(
            c_int, _Model, c_long, _Array, c_long, _Array, _Array, c_uint64, c_uint64, _Array, _Array
        )),
        ("contexts", CFUNCTYPE(c_int, c_long, c_long, _Array, _Array, _Array)),
        ("tied_forward", CFUNCTYPE(c_int, POINTER(TiedView), c_long, *[_Array] * 6)),
        ("tied_backward", CFUNCTYPE(c_int, POINTER(TiedView), c_long, *[_Array] * 7, POINTER(TiedView))),
        ("piece_bytes", CFUNCTYPE(c_long, POINTER(GatedView), c_long)),
        ("gated_generate", CFUNCTYPE(
            c_int, POINTER(GatedView), POINTER(Drawing), c_long, c_long, c_long, _Array, POINTER(_Clamp), c_long,
            _Array, _Array
        )),
        ("gated_hear", CFUNCTYPE(c_int, POINTER(GatedView), c_long, _Array, c_long, *[_Array] * 4)),
    ]  # fmt: skip


@dataclass(frozen=True)
class Update:
    """How the gradient of an update is computed: `gibbs_steps` of CD, or 0 for the cross-entropy of bv_t."""

    gibbs_steps: int
    from_zeros: bool
    dropout: float
    scale: float
    """Of the gradient: one over the frames of the whole update for its mean."""
    stream: int


@dataclass(frozen=True)
class Clamp:
    """Cells that are given: where `kept` is true, a cell is to be as in `source`."""

    kept: Frames
    """(frames, n_visible)."""
    source: Frames
    """(frames, n_visible)."""
    penalties: Array
    """(steps,): the logits that a given cell costs while it is otherwise; the last is beyond all bounds."""


def clamp_view(clamp: Clamp, log_weights: NDArray[np.float64]) -> _Clamp:
    """A clamp of contiguous arrays as the kernel takes it; log weights (pieces,) are added to. All must outlive it."""
    return _Clamp(
        clamp.kept.ctypes.data, clamp.source.ctypes.data, clamp.penalties.ctypes.data, len(clamp.penalties),
        log_weights.ctypes.data,
    )  # fmt: skip


@dataclass(frozen=True)
class Recall:
    """What pieces recall of themselves, as model/recall.py says, each in a row of memory that goes on with it."""

    gain: float
    far: int
    every: int
    room: int
    """Frames of a whole piece at most."""
    memories: NDArray[np.uint8]
    """(pieces, bytes)."""

    def view(self) -> _Recall:
        """As the kernel takes it; the memories must outlive it."""
        return _Recall(self.gain, self.far, self.every, self.room, self.memories.ctypes.data)

    def repeated(self, n: int) -> "Recall":
        """Of each piece so many, which go on by themselves."""
        return replace(self, memories=self.memories.repeat(n, axis=0))


class Kernel:
    """The kernel for one instruction set."""

    def __init__(self, functions: _InstructionSet) -> None:
        self.functions = functions
        self.name: str = functions.name.decode()

    def chains(self, W: Array, v: Frames, bv: Array, bh: Array, k: int, stream: int) -> Frames:
        """The visible units after `k` Gibbs steps from `v` (rows, n_visible), each row with biases of its own.

        W: (n_visible, n_hidden), bv: (rows, n_visible), bh: (rows, n_hidden). What `model.rbm.gibbs_chain` does.
        """
        W, bv, bh = (np.ascontiguousarray(array, np.float32) for array in (W, bv, bh))
        v = v.copy()
        done = self.functions.chains(
            byref(_only_weights(W)), k, len(v), bv.ctypes.data, bh.ctypes.data, stream, v.ctypes.data
        )
        check(done)
        return v

    def generate(
        self, parameters: Parameters, seeds: NDArray[np.uint64], states: Array, first: int, last: int, gibbs_steps: int,
        temperature: float, recall: Recall | None = None,
    ) -> Frames:  # fmt: skip
        """Frames `first` to `last` of a piece for each seed: (pieces, last - first, n_visible).

        `states` (pieces, n_hidden_recurrent), the recurrent states, is read and then holds the new ones; so are the
        memories of what the pieces recall, if they do.
        """
        return self._generate(parameters, seeds, states, first, last, gibbs_steps, temperature, None, recall)

    def recall(self, config: ModelConfig, room: int, frames: Frames) -> Recall:
        """What one piece of a model recalls that began with given frames (frames, n_visible)."""
        memories = np.zeros((1, self.functions.recall_bytes(room)), np.uint8)
        frames = np.ascontiguousarray(frames)
        length, n_visible = frames.shape
        check(self.functions.recall_hear(n_visible, length, frames.ctypes.data, room, memories.ctypes.data))
        return Recall(config.recall, *config.recalled_at, room, memories)

    def clamped(
        self, parameters: Parameters, seeds: NDArray[np.uint64], states: Array, first: int, clamp: Clamp,
        gibbs_steps: int, temperature: float,
    ) -> tuple[Frames, NDArray[np.float64]]:  # fmt: skip
        """As many frames as the clamp has, from `first` on, as `generate` gives them; and their log weights (pieces,).

        What `model.generation.clamped_chain` does, for several frames.
        """
        kept, source = (np.ascontiguousarray(cells, np.bool_) for cells in (clamp.kept, clamp.source))
        if kept.shape != source.shape or kept.shape[1:] != (parameters.config.n_visible,):
            raise ValueError(f"a clamp of shapes {kept.shape} and {source.shape} is not one of this model")
        log_weights = np.zeros(len(seeds))
        how = clamp_view(Clamp(kept, source, clamp.penalties), log_weights)
        last = first + len(kept)
        rolls = self._generate(parameters, seeds, states, first, last, gibbs_steps, temperature, byref(how), None)
        return rolls, log_weights

    def _generate(
        self, parameters: Parameters, seeds: NDArray[np.uint64], states: Array, first: int, last: int, gibbs_steps: int,
        temperature: float, clamp: Any, recall: Recall | None,
    ) -> Frames:  # fmt: skip
        rolls = np.empty((len(seeds), last - first, parameters.config.n_visible), np.bool_)
        recalled = byref(recall.view()) if recall else None
        done = self.functions.generate(
            byref(_view(parameters)), temperature, gibbs_steps, first, last, len(seeds), seeds.ctypes.data, clamp,
            recalled, states.ctypes.data, rolls.ctypes.data,
        )  # fmt: skip
        check(done)
        return rolls

    def state_after(self, parameters: Parameters, frames: Frames) -> Array:
        """The recurrent state (n_hidden_recurrent,) that frames (frames, n_visible) lead to from the beginning."""
        frames = np.ascontiguousarray(frames)
        state = np.empty(parameters.config.n_hidden_recurrent, np.float32)
        done = self.functions.drive(byref(_view(parameters)), len(frames), frames.ctypes.data, state.ctypes.data)
        check(done)
        return state

    def bind_gradient(
        self, parameters: Parameters, gradient: Parameters
    ) -> Callable[[Update, Frames, NDArray[np.int64]], tuple[float, float]]:
        """A function that writes to `gradient`, for arrays that stay where they are from update to update.

        It takes the frames of several sequences one after another (frames, n_visible) and where each begins, with the
        end (sequences + 1,); it leaves the sum over all frames, times `scale`, in `gradient` and returns those of cost
        and monitor.
        """
        source, target = _view(parameters), _view(gradient)

        def compute(update: Update, frames: Frames, starts: NDArray[np.int64]) -> tuple[float, float]:
            sums = (c_double * 2)()
            how = _Update(update.gibbs_steps, update.from_zeros, update.dropout, update.scale, update.stream)
            done = self.functions.gradient(
                byref(source), byref(how), frames.ctypes.data, starts.ctypes.data, len(starts) - 1, byref(target),
                byref(sums),
            )  # fmt: skip
            check(done)
            cost, monitor = sums
            return cost, monitor

        return compute

    def conditionals(self, parameters: Parameters, frames: Frames, starts: NDArray[np.int64]) -> tuple[Array, Array]:
        """bv_t (frames, n_visible) and bh_t (frames, n_hidden), set by the frames of the sequence before each frame.

        It takes the frames of several sequences one after another (frames, n_visible) and where each begins, the first
        at 0, with the end (sequences + 1,). What `model.rnn_rbm.RnnRbmNetwork.biases_of` does.
        """
        config = parameters.config
        bv = np.empty((len(frames), config.n_visible), np.float32)
        bh = np.empty((len(frames), config.n_hidden), np.float32)
        done = self.functions.conditionals(
            byref(_view(parameters)), frames.ctypes.data, starts.ctypes.data, len(starts) - 1, bv.ctypes.data,
            bh.ctypes.data,
        )  # fmt: skip
        check(done)
        return bv, bh

    def anneal(
        self, W: Array, bv: Array, bh: Array, v: Frames, betas: Array, stream: int, first: int
    ) -> tuple[Frames, NDArray[np.float64]]:
        """Where chains that start at `v` (rows, n_visible) end, and the logarithms of their AIS weights (rows,).

        W: (n_visible, n_hidden), bv: (rows, n_visible), bh: (rows, n_hidden), betas: (temperatures,). Row i takes the
        random numbers of row `first + i` of the stream. What `model.annealing.anneal` does.
        """
        W, bv, bh, betas = (np.ascontiguousarray(array, np.float32) for array in (W, bv, bh, betas))
        v, log_weights = v.copy(), np.empty(len(v))
        done = self.functions.anneal(
            byref(_only_weights(W)), len(betas), betas.ctypes.data, len(v), bv.ctypes.data, bh.ctypes.data, stream,
            first, v.ctypes.data, log_weights.ctypes.data,
        )  # fmt: skip
        check(done)
        return v, log_weights


def stream_of(*numbers: int) -> int:
    """A stream of random numbers for, say, a seed, an epoch and an update."""
    return int.from_bytes(blake2b(repr(numbers).encode(), digest_size=8).digest(), "little")


@cache
def kernels() -> tuple[Kernel, ...]:
    """The kernel for each instruction set of this machine, best first; none where it was not built."""
    path = next(
        (p for suffix in EXTENSION_SUFFIXES if (p := Path(__file__).with_name(f"_kernel{suffix}")).exists()), None
    )
    if path is None:
        return ()
    find = CDLL(str(path)).rnnrbm_kernel
    find.restype = POINTER(_InstructionSet)
    found: list[Kernel] = []
    while functions := find(len(found)):
        found.append(Kernel(functions.contents))
    return tuple(found)


def best() -> Kernel | None:
    """The fastest one, or None."""
    return next(iter(kernels()), None)


def _only_weights(W: Array) -> _Parameters:
    return _Parameters(*W.shape, 0, W.ctypes.data)


def _view(parameters: Parameters) -> _Parameters:
    config = parameters.config
    addresses = _addresses(parameters.arrays)
    return _Parameters(config.n_visible, config.n_hidden, config.n_hidden_recurrent, *addresses)


def _addresses(arrays: Mapping[str, Array]) -> list[int]:
    for name in NAMES:
        if arrays[name].dtype != np.float32 or not arrays[name].flags.c_contiguous:
            raise TypeError(f"{name} must be contiguous and of float32")
    return [arrays[name].ctypes.data for name in NAMES]


def check(done: int) -> None:
    """Raise MemoryError if a call of the kernel says that it got no memory."""
    if not done:
        raise MemoryError("the kernel got no memory")
