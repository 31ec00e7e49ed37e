"""Models kept ready between jobs."""

from collections import OrderedDict

import torch

from model.artefact import from_bytes
from model.rnn_rbm import RnnRbmNetwork
from worker.store import MODEL, ArtefactStore


class ModelCache:
    """The most recently used networks, on their device, by model id."""

    def __init__(self, store: ArtefactStore, device: torch.device, capacity: int = 8) -> None:
        self._store = store
        self._device = device
        self._capacity = capacity
        self._networks: OrderedDict[str, RnnRbmNetwork] = OrderedDict()

    def get(self, model_id: str) -> RnnRbmNetwork:
        """The network of a stored model.

        Raises:
            NotFoundError: there is no such model.
            ArtefactError: its file is damaged.
        """
        if model_id not in self._networks:
            network = from_bytes(self._store.file(MODEL, model_id, "model.safetensors"))
            self._networks[model_id] = network.to(self._device)
            if len(self._networks) > self._capacity:
                self._networks.popitem(last=False)
        self._networks.move_to_end(model_id)
        return self._networks[model_id]
