"""Learning from other models besides the pieces: the mean of what they predict is part of what is to be predicted.

Models that were trained alike, but for their seeds, err in different places, and the mean of their probabilities is
right more often than any of them. One model can learn most of that (Hinton, Vinyals and Dean, "Distilling the
Knowledge in a Neural Network", 2015): here a NADE, for every key of a frame, given the keys below it,

    target = (1 - distillation) v + distillation (mean of the teachers' probabilities)

The teachers hear what the pupil hears, frame by frame, and have states of their own that go on with the pieces.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from model.config import ModelConfig, TrainingConfig
from model.errors import ConfigError
from model.gated import Contexts, GatedNetwork
from model.kernel import Kernel
from model.nade import nade_logits
from model.parameters import Parameters

KIND = "lstm-nade"


def check_teaching(pupil: ModelConfig, training: TrainingConfig, teachers: Sequence[Parameters]) -> None:
    """Raises ConfigError where a model cannot be taught, or not by these."""
    if bool(training.distillation) != bool(teachers):
        raise ConfigError("distillation is the share of teachers: one does not go without the other")
    if any(model.kind != KIND for model in (pupil, *(teacher.config for teacher in teachers)) if teachers):
        raise ConfigError(f"only an {KIND} teaches and is taught")
    if any(teacher.config.pitch_range != pupil.pitch_range for teacher in teachers):
        raise ConfigError("teachers play the same keys as who is taught")


class Teachers:
    """Some models of the kind `lstm-nade`, none of them for no teaching."""

    def __init__(self, models: Sequence[Parameters], device: torch.device, kernel: Kernel | None) -> None:
        self._networks = [GatedNetwork.from_parameters(model).to(device) for model in models]
        self._kernel = kernel

    def __len__(self) -> int:
        return len(self._networks)

    def begin(self, n_sequences: int) -> dict[str, Tensor]:
        """Their states, by name, where nothing has been heard."""
        states = {}
        for i, network in enumerate(self._networks):
            states[f"teacher{i}.u"], states[f"teacher{i}.c"] = network.initial_state(n_sequences)
        return states

    @torch.no_grad()
    def predict(self, contexts: Contexts, v: Tensor, states: dict[str, Tensor]) -> Tensor:
        """Probability of each key given those below it, (T B, n_visible), of frames v (T, B, n_visible).

        `states` are those before the frames, and then those after them.
        """
        total = torch.zeros_like(v.flatten(0, 1))
        for i, network in enumerate(self._networks):
            names = f"teacher{i}.u", f"teacher{i}.c"
            bv, bh, last = network.biases_of(contexts, v, (states[names[0]], states[names[1]]), self._kernel)
            states |= zip(names, last, strict=True)
            logits = nade_logits(v.flatten(0, 1), network.W, network.U, bv.flatten(0, 1), bh.flatten(0, 1))
            total += torch.sigmoid(logits)
        return total / len(self._networks)
