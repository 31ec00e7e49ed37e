"""Models kept ready between jobs."""

from collections import OrderedDict
from typing import TYPE_CHECKING

from model.artefact import from_bytes
from model.kernel import Kernel
from model.parameters import Parameters
from model.sampler import Sampler, sampler
from worker.store import MODEL, ArtefactStore

if TYPE_CHECKING:
    from model.cuda.accelerator import Accelerator  # loads torch, which a worker on the CPU does without


class ModelCache:
    """Samplers of the most recently used models, on their device, by model id."""

    def __init__(
        self,
        store: ArtefactStore,
        device: str,
        kernel: Kernel | None,
        accelerator: "Accelerator | None" = None,
        capacity: int = 8,
    ) -> None:
        self._store = store
        self._device = device
        self._kernel = kernel
        self._accelerator = accelerator
        self._capacity = capacity
        self._samplers: OrderedDict[str, Sampler] = OrderedDict()

    def get(self, model_id: str) -> Sampler:
        """The sampler of a stored model.

        Raises:
            NotFoundError: there is no such model.
            ArtefactError: its file is damaged.
        """
        if model_id not in self._samplers:
            parameters = from_bytes(self._store.file(MODEL, model_id, "model.safetensors"))
            self._samplers[model_id] = self._sampler(parameters)
            if len(self._samplers) > self._capacity:
                self._samplers.popitem(last=False)
        self._samplers.move_to_end(model_id)
        return self._samplers[model_id]

    def _sampler(self, parameters: Parameters) -> Sampler:
        if self._accelerator is not None:
            return self._accelerator.sampler(parameters)
        return sampler(parameters, self._device, self._kernel)
