"""What can go wrong in the model layer, as one tree.

ModelError
├── MidiError          a file cannot be read as a standard MIDI file, or breaks a bound
├── CorpusError        a set of pieces cannot be trained on (empty, or nothing in the pitch range)
├── ConfigError        a model or training configuration that contradicts itself
├── TrainingError      training cannot go on (diverged)
├── RegionError        a region of a piece that is to be kept makes no sense (model.regions)
├── DeviceError        a device has no room for the work, or is lost
└── ArtefactError      a model file whose tensors or metadata do not fit together
"""


class ModelError(Exception):
    """Base of every error that the model layer raises on purpose; its text is fit for the user."""


class MidiError(ModelError):
    """A file cannot be read as a standard MIDI file, or breaks a bound."""


class CorpusError(ModelError):
    """A set of pieces cannot be trained on."""


class ConfigError(ModelError):
    """A configuration that contradicts itself."""


class TrainingError(ModelError):
    """Training cannot go on."""


class ArtefactError(ModelError):
    """A model file whose tensors or metadata do not fit together."""


class DeviceError(ModelError):
    """A device has no room for the work, or is lost."""


class Stopped(Exception):  # noqa: N818 (no error, and none of the tree: the caller asked for it)
    """The caller's `on_step` asked for an end."""
