"""How much the contestants do when they are asked, the same for each baseline; and what a frame costs on paper."""

from model.config import ModelConfig

GENERATED_FRAMES, GENERATION_STEPS = 200, 25
"""The tutorial's piece: frames, and Gibbs steps of each."""
WARM_UP_UPDATES, UPDATES = 50, 200
"""Updates, of about 90 frames each, before measuring and in a round."""


def gibbs_flop(model: ModelConfig) -> int:
    """Floating-point operations of one Gibbs step of one frame, its two dense products alone, 2 a multiply-add."""
    return 2 * 2 * model.n_visible * model.n_hidden


def gibbs_random_numbers(model: ModelConfig) -> int:
    """Random numbers of one Gibbs step of one frame: one a unit."""
    return model.n_visible + model.n_hidden


def update_flop(model: ModelConfig, k: int) -> int:
    """The dense products of a whole update for one frame, the chain's k steps among them.

    Beside the chain: one more step for the monitor; of the free energies of data and sample, v W and its gradient with
    respect to W; the products of the recurrence and of the biases, forward, and twice that backward.
    """
    n_visible, n_recurrent = model.n_visible, model.n_hidden_recurrent
    recurrence = 2 * n_recurrent * (2 * n_visible + n_recurrent + model.n_hidden)
    energies = 2 * 2 * 2 * n_visible * model.n_hidden
    return (k + 1) * gibbs_flop(model) + energies + 3 * recurrence
