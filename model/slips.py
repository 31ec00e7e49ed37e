"""What a model hears in training where it has played along itself, so that it finds its way back from its own slips.

A model that has heard nothing but real pieces copies the slips that it makes when it plays alone, and drifts away from
anything it knows. So in some stretches of a piece it hears the frames that it draws itself, after what it heard until
there, and learns to predict the real ones (scheduled sampling, Bengio et al. 2015, by stretches).
"""

import numpy as np

from model.kernel import Drawing
from model.makers import PieceMaker
from model.pianoroll import Roll


def with_slips(
    roll: Roll, share: float, stretch: int, maker: PieceMaker, drawing: Drawing, random: np.random.Generator
) -> Roll:
    """A copy of a piece (frames, n_visible) in which about that share of the frames are drawn by the model.

    `stretch` is how many it draws one after another, on average.
    """
    heard = roll.copy()
    seed = random.integers(2**63, size=1, dtype=np.uint64)
    piece = maker.begin(1, len(roll))
    t = 0
    while t < len(roll):
        real = min(t + int(random.geometric(min(share / (stretch * (1 - share)), 1.0))), len(roll))
        maker.hear(piece, len(roll), roll[t:real])
        t = min(real + int(random.geometric(1 / stretch)), len(roll))
        if t > real:
            heard[real:t] = maker.generate(piece, len(roll), drawing, seed, real, t)[0][0]
    return heard
