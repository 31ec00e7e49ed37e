"""Music and mathematics: piano-rolls, MIDI, the RNN-RBM. Knows no HTTP, no queue, no settings.

`model.RnnRbm` is the tutorial's class; it is loaded on first use, so that reading MIDI needs no torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.tutorial import RnnRbm

__all__ = ["RnnRbm"]


def __getattr__(name: str) -> Any:
    if name == "RnnRbm":
        from model.tutorial import RnnRbm

        return RnnRbm
    raise AttributeError(f"module 'model' has no attribute {name!r}")
