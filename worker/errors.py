"""What can go wrong in the worker layer, as one tree.

WorkerError
├── StoreError          the artefact store refused or lost something
│   ├── NotFoundError   nothing of that kind has that id
│   ├── BundledError    it comes with the program and stays
│   ├── SeveralPiecesError  a generation of several pieces cannot be had as one
│   └── TooLongError    a piece is too long to be had in that form
├── BrokerError         Redis cannot be reached or refused a command
│   └── QueueFullError  enough jobs of that kind are waiting already
├── ParameterError      a job was asked for something that cannot be done
├── UploadError         an upload holds nothing that can be used
└── StartError          a process cannot be started as configured
"""


class WorkerError(Exception):
    """Base of every error that the worker layer raises on purpose; its text is fit for the user."""


class StoreError(WorkerError):
    """The artefact store refused or lost something."""


class NotFoundError(StoreError):
    """Nothing of that kind has that id."""

    def __init__(self, kind: str, key: str) -> None:
        super().__init__(f"there is no {kind} {key!r}")
        self.kind = kind
        self.key = key


class BundledError(StoreError):
    """It comes with the program and cannot be deleted."""


class SeveralPiecesError(StoreError):
    """A generation of several pieces cannot be had as one."""

    def __init__(self, key: str, n: int) -> None:
        super().__init__(f"generation {key!r} has {n} pieces: ask for one, {key}-0 to {key}-{n - 1}, or for a zip")


class TooLongError(StoreError):
    """A piece is too long to be had in that form."""


class BrokerError(WorkerError):
    """Redis cannot be reached or refused a command."""


class QueueFullError(BrokerError):
    """Enough jobs of that kind are waiting already; try again later."""


class ParameterError(WorkerError):
    """A job was asked for something that cannot be done; `field` names what."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class UploadError(WorkerError):
    """An upload holds nothing that can be used; `refused` says why, file by file."""

    def __init__(self, detail: str, refused: list[dict[str, str]] | None = None) -> None:
        super().__init__(detail)
        self.refused = refused or []


class StartError(WorkerError):
    """A process cannot be started as configured."""
