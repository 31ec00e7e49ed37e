"""What a worker on a GPU finds out about it when it starts, and what it makes of that."""

from dataclasses import dataclass

import torch

from model.config import ModelConfig
from model.cuda.chains import Chains, PlainChains, settle
from model.cuda.sampler import BatchSampler, SharedSampler, measured_crossover
from model.errors import DeviceError
from model.kernel import Kernel
from model.parameters import Parameters
from model.rnn_rbm import RnnRbmNetwork
from model.sampler import CompiledSampler, Sampler, sampler

KIND = "rnn-rbm"
"""The kind of model that batches and whole updates are for; others are drawn frame by frame, key by key."""


@dataclass(frozen=True)
class Accelerator:
    """A GPU, as PyTorch calls it, with the chains that are the fastest on it."""

    device: str
    chains: Chains
    compiled: Kernel | None = None
    """What samples on the CPU where that is faster; None: nothing does."""
    crossover: int = 1
    """From how many pieces at once the GPU is faster."""

    def sampler(self, parameters: Parameters) -> Sampler:
        """Who samples pieces of a model: the CPU few of them, the GPU many; of other kinds the CPU all of them."""
        if parameters.config.kind != KIND:
            return sampler(parameters, "cpu" if self.compiled else self.device, self.compiled)
        gpu = BatchSampler(parameters, self.device, self.chains)
        return SharedSampler(CompiledSampler(parameters, self.compiled), gpu, self.crossover) if self.compiled else gpu


def accelerator(device: str, compiled: Kernel | None, *, plain: bool, samples: bool) -> Accelerator:
    """Try what there is on a GPU; `plain` asks for PyTorch alone, `samples` for pieces, which the CPU may share.

    Raises:
        DeviceError: it cannot be used.
    """
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # CUDA's own, and PyTorch's that it was built without
        raise DeviceError(f"PyTorch cannot use it: {str(error).splitlines()[0]}") from error
    chains = PlainChains() if plain else settle(torch.device(device))
    if compiled is None or not samples:
        return Accelerator(device, chains)
    parameters = trial_parameters()
    cpu, gpu = CompiledSampler(parameters, compiled), BatchSampler(parameters, device, chains)
    return Accelerator(device, chains, compiled, measured_crossover(cpu, gpu))


def trial_parameters() -> Parameters:
    """A model of the recipes' size whose pieces recall themselves; what was learned makes no difference on a GPU.

    On the CPU a model that has learned nothing, with half of the keys on, is slow: the crossover is an early one.
    """
    config = ModelConfig(dt=None, steps_per_beat=1, recall=5.0)
    return RnnRbmNetwork(config, torch.Generator().manual_seed(0)).to_parameters()
