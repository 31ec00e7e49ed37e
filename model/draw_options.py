"""What a caller may say about how a sampler works. Free of torch."""

from dataclasses import dataclass

from model.cores import OnStep
from model.drawing import TUTORIAL_STEPS
from model.infilling import PARTICLES


@dataclass(frozen=True)
class DrawOptions:
    """How pieces are drawn, or filled in."""

    gibbs_steps: int = TUTORIAL_STEPS
    """Of each frame's chain."""
    temperature: float = 1.0
    """It divides the RBM's energy, or NADE's logits."""
    particles: int = PARTICLES
    """Of each piece that is filled in."""
    on_step: OnStep | None = None
    """Called now and then with the number of frames that are done, of all pieces together; where it is true, `Stopped`
    is raised."""


DEFAULT = DrawOptions()
