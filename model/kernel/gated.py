"""The compiled kernel's part of the models with a gated recurrence: pieces frame by frame, and the pitch-tied layer."""

from collections.abc import Mapping
from ctypes import byref

import numpy as np
from numpy.typing import NDArray

from model.kernel import Clamp, Drawing, Frames, GatedView, Kernel, TiedView, check, clamp_view
from model.memory import N_PLANES, N_SCALARS
from model.parameters import Array, Parameters

PAD = 16
"""Rows of parameters are padded to so many floats, the widest vector."""
NEVER = -1000.0
"""Logit of the padding's units."""

LINE = 64
"""Bytes at whose multiples a piece begins."""

Pieces = NDArray[np.uint8]
"""What has been heard of some pieces, (pieces, bytes): each row is one piece, for the kernel only."""


def aligned(shape: tuple[int, ...]) -> Array:
    """Zeros that begin at a vector boundary."""
    size = int(np.prod(shape))
    room = np.zeros(size + PAD, np.float32)
    first = -room.ctypes.data // 4 % PAD
    return room[first : first + size].reshape(shape)


def placed(array: Array) -> Array:
    """A copy that begins at a vector boundary."""
    copy = aligned(array.shape)
    copy[...] = array
    return copy


def padded(array: Array, fill: float = 0.0) -> Array:
    """A copy whose rows have a multiple of PAD floats."""
    rows = array[None] if array.ndim == 1 else array
    wide = aligned((*rows.shape[:-1], -(-rows.shape[-1] // PAD) * PAD))
    wide[...] = fill
    wide[..., : rows.shape[-1]] = rows
    return wide


def contexts(kernel: Kernel, roll: Frames) -> tuple[Array, Array]:
    """What `model.memory.contexts` gives."""
    roll = np.ascontiguousarray(roll)
    planes = np.empty((len(roll), N_PLANES, roll.shape[1]), np.float32)
    scalars = np.empty((len(roll), N_SCALARS), np.float32)
    done = kernel.functions.contexts(
        roll.shape[1], len(roll), roll.ctypes.data, planes.ctypes.data, scalars.ctypes.data
    )
    check(done)
    return planes, scalars


TIED = ("conv", "below", "bconv", "mix", "bmix", "out")
"""Parameters of the pitch-tied layer, in the order of `TiedView`."""


def tied_view(arrays: Mapping[str, Array], n_visible: int) -> TiedView:
    """The layer's parameters, or their gradient, as the kernel takes them; the arrays must outlive it."""
    n_planes, _, n_channels = arrays["conv"].shape
    addresses = [arrays[name].ctypes.data if name in arrays else None for name in TIED]
    return TiedView(n_visible, n_planes, n_channels, *addresses)


class GatedPieces:
    """One model, ready to hear and to draw frames."""

    def __init__(self, parameters: Parameters, kernel: Kernel) -> None:
        self._config = parameters.config
        self._functions = kernel.functions
        self._arrays = _prepared(parameters.arrays)
        self._view = _view(self._arrays, parameters)

    def begin(self, n: int, room: int) -> Pieces:
        """`n` pieces of which nothing has been heard, with room for so many frames."""
        pieces = _rows(n, self._functions.piece_bytes(byref(self._view), room))
        pieces[...] = 0
        return pieces

    def copies(self, pieces: Pieces, chosen: NDArray[np.intp]) -> Pieces:
        """Those rows, some of them several times; they begin where vectors may, which NumPy's own copies do not."""
        return np.take(pieces, chosen, axis=0, out=_rows(len(chosen), pieces.shape[1]), mode="clip")

    def generate(
        self, pieces: Pieces, room: int, drawing: Drawing, seeds: NDArray[np.uint64], first: int, last: int,
        clamp: Clamp | None = None,
    ) -> tuple[Frames, NDArray[np.float64]]:  # fmt: skip
        """Frames `first` to `last` of each piece, (pieces, last - first, n_visible), which then have heard them.

        With a clamp, which has as many frames, also the pieces' log weights (pieces,), as `Kernel.clamped` gives them.
        """
        rolls = np.empty((len(pieces), last - first, self._config.n_visible), np.bool_)
        log_weights = np.zeros(len(pieces))
        how = None if clamp is None else byref(clamp_view(clamp, log_weights))
        done = self._functions.gated_generate(
            byref(self._view), byref(drawing), first, last, len(pieces), seeds.ctypes.data, how, room,
            pieces.ctypes.data, rolls.ctypes.data,
        )  # fmt: skip
        check(done)
        return rolls, log_weights

    def hear(self, piece: Pieces, room: int, frames: Frames) -> None:
        """A piece, (bytes,) or one row, goes on by given frames (frames, n_visible)."""
        self._hear(piece, room, frames)

    def biases(self, roll: Frames) -> tuple[Array, Array]:
        """bv_t (frames, n_visible) and bh_t (frames, n_hidden) of a whole piece's frames."""
        bv = np.empty((len(roll), self._config.n_visible), np.float32)
        bh = np.empty((len(roll), self._config.n_hidden), np.float32)
        room = max(len(roll), 1)
        self._hear(self.begin(1, room), room, roll, bv=bv, bh=bh)
        return bv, bh

    def log_probabilities(self, roll: Frames) -> NDArray[np.float64]:
        """log p(v_t | v_<t) by NADE of a whole piece's frames, (frames,)."""
        log_p = np.empty(len(roll))
        room = max(len(roll), 1)
        self._hear(self.begin(1, room), room, roll, log_p=log_p)
        return log_p

    def _hear(
        self, piece: Pieces, room: int, frames: Frames, *, bv: Array | None = None, bh: Array | None = None,
        log_p: NDArray[np.float64] | None = None,
    ) -> None:  # fmt: skip
        """A piece goes on; what is said of each frame is written to the arrays that are given."""
        frames = np.ascontiguousarray(frames)
        wanted = [None if array is None else array.ctypes.data for array in (bv, bh, log_p)]
        done = self._functions.gated_hear(
            byref(self._view), len(frames), frames.ctypes.data, room, piece.ctypes.data, *wanted
        )
        check(done)


def _rows(n: int, size: int) -> Pieces:
    memory = np.empty(n * size + LINE, np.uint8)
    first = -memory.ctypes.data % LINE
    return memory[first : first + n * size].reshape(n, size)


def _prepared(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The parameters with padded rows, those that are used together side by side."""
    prepared = {
        "W": padded(arrays["W"]),
        "WT": padded(arrays["W"].T),
        "biases": np.concatenate([padded(arrays["bv"], NEVER)[0], padded(arrays["bh"], NEVER)[0]]),
        "to_biases": np.concatenate([padded(arrays["Wuv"]), padded(arrays["Wuh"])], axis=1),
        "heard": _gates(arrays["Wvu"]),
        "Wuu": _gates(arrays["Wuu"]),
        "bu": _gates(arrays["bu"][None]),
    }
    if "U" in arrays:
        prepared["U"] = padded(arrays["U"])
    if "conv" in arrays:
        prepared |= {"scalars": _gates(arrays["Wsu"])}
        prepared |= {"gate_u": arrays["Wug"], "gate_s": arrays["Wsg"], "gate_bias": arrays["bg"]}
        prepared |= {name: arrays[name] for name in TIED if name in arrays}
    return {name: placed(array) for name, array in prepared.items()}


def _gates(array: Array) -> Array:
    """The four gates of each row (..., 4 n_hidden_recurrent), each padded."""
    parts = array.reshape(*array.shape[:-1], 4, -1)
    return padded(parts).reshape(*array.shape[:-1], -1)


def _view(arrays: Mapping[str, Array], parameters: Parameters) -> GatedView:
    config = parameters.config
    names = ("W", "WT", "U", "biases", "to_biases", "heard", "scalars", "Wuu", "bu", "gate_u", "gate_s", "gate_bias")
    addresses = [arrays[name].ctypes.data if name in arrays else None for name in names]
    tied = tied_view(arrays, config.n_visible) if "conv" in arrays else TiedView()
    return GatedView(config.n_visible, config.n_hidden, config.n_hidden_recurrent, config.n_channels, *addresses, tied)
