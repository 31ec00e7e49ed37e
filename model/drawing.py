"""How the frames of a piece are drawn: where the Gibbs chain of each starts, and how many steps it takes.

`tutorial` is the tutorial's way, whatever the model: from zeros, 25 steps. `best` is what does justice to a model:
for an RNN-RBM, which is trained for it, the same chain, and what the piece recalls of itself (model/recall.py); for a
gated recurrence with an RBM a chain from a frame that is likely already, for one with a NADE, which draws exactly,
none; and for both their calibration (model/calibration.py) and a look back for loops (model/draft.py).
"""

from typing import Literal

Way = Literal["best", "tutorial"]
Start = Literal["zeros", "last", "pointed"]
"""At zeros, at the frame before, or at what followed an earlier place like this: zeros where there is none."""

TUTORIAL_STEPS = 25
BEST_START: Start = "pointed"
BEST_STEPS = 100
"""Where and how long a chain of an `lstm-rbm` is."""


def steps_of(kind: str, way: Way) -> int:
    """Gibbs steps of each frame for a kind of model, where nobody says how many."""
    return BEST_STEPS if kind == "lstm-rbm" and way == "best" else TUTORIAL_STEPS
