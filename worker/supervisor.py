"""Everything on one machine: the embedded server, the workers and the API as child processes, kept running."""

import ctypes
import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from worker.broker import Broker
from worker.devices import posts
from worker.embedded import EmbeddedServer
from worker.errors import BrokerError, StartError
from worker.settings import Settings

TICK_SECONDS = 0.1
BACKOFF_SECONDS = (0.1, 5.0)  # the first and the longest wait before a restart
HEALTHY_SECONDS = 10.0  # who lived that long starts again with the first
STOP_SECONDS = 15.0
MISCONFIGURED = 2  # the exit status of `rnnrbm` when trying again is of no use
PR_SET_PDEATHSIG = 1
SERVER, WORKER, API = range(3)  # the order of starting; stopping goes the other way

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Child:
    """A program to keep running. Those of a higher stage need those of a lower one."""

    name: str
    command: Sequence[str]
    stage: int
    environment: Mapping[str, str]
    descriptors: Sequence[int] = ()


def default_children(settings: Settings, url: str) -> list[Child]:
    """The workers and the API, with the settings and the server's URL in their environment.

    Raises:
        StartError: the device asked for is not there.
    """
    environment = child_environment(settings, url)
    command = [sys.executable, "-m", "worker.cli"]
    workers = [
        Child(post.name, [*command, "worker", post.kind], WORKER, {**environment, "RNNRBM_DEVICE": post.device})
        for post in posts(settings)
    ]
    return [*workers, Child("api", [*command, "api"], API, environment)]


def child_environment(settings: Settings, url: str) -> dict[str, str]:
    """This process's environment with the settings that differ from it, such as a --port given to `serve`."""
    plain = {
        f"RNNRBM_{name.upper()}": str(value)
        for name, value in settings.model_dump().items()
        if isinstance(value, str | int | float)
    }
    return {**os.environ, **plain, "RNNRBM_REDIS_URL": url}


def serve(settings: Settings, children: Callable[[Settings, str], list[Child]] = default_children) -> None:
    """Run everything until SIGTERM or SIGINT, then stop all of it.

    Raises:
        StartError: the port is taken, the device asked for is not there, the embedded server cannot be started, or a
            child refuses its settings.
    """
    with stop_signals() as stopping:
        check_port(settings.host, settings.port)
        if settings.redis_url:
            Supervisor(settings, settings.redis_url).run(children(settings, settings.redis_url), stopping)
            return
        with EmbeddedServer(embedded_directory(settings.data)) as server:
            redis = Child("server", server.command, SERVER, os.environ, [server.lock])
            supervisor = Supervisor(settings, server.url, wait_server=server.wait_ready)
            supervisor.run([redis, *children(settings, server.url)], stopping)


def embedded_directory(data: str) -> Path:
    """Where the embedded server keeps its data: beside the artefacts, or in ./var if those are elsewhere."""
    local = data.removeprefix("file://")
    return Path("var" if "://" in local else local) / "redis"


def check_port(host: str, port: int) -> None:
    """Find out before anything starts whether the API will be able to listen.

    Raises:
        StartError: it will not.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise StartError(
            f"cannot listen on {host}:{port} ({error.strerror}); RNNRBM_PORT or --port chooses another port"
        ) from error


class Flag:
    """Set by a signal handler; a plain attribute, since a handler must take no lock."""

    def __init__(self) -> None:
        self.is_set = False

    def set(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 (a signal handler's arguments)
        """Handle a signal."""
        self.is_set = True


@contextmanager
def stop_signals() -> Iterator[Flag]:
    """A flag that SIGTERM and SIGINT set instead of what they usually do."""
    flag = Flag()
    before = {number: signal.signal(number, flag.set) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Supervisor:
    """Starts children, starts them again when they die, and stops them."""

    def __init__(
        self,
        settings: Settings,
        url: str,
        wait_server: "Callable[[subprocess.Popen[bytes]], None] | None" = None,
    ) -> None:
        self._settings = settings
        self._broker = Broker(url, retries=0)  # a supervisor that waits for Redis would not see what dies meanwhile
        self._wait_server = wait_server
        self._running: list[_Running] = []
        self._ready = False

    def run(self, children: Sequence[Child], stopping: Flag) -> None:
        """Keep the children running until `stopping` is set; they are gone when this returns or raises.

        Raises:
            StartError: a child refused its settings before everything was ready.
        """
        try:
            self._start(children)
            while not stopping.is_set:
                for running in self._running:
                    self._tend(running)
                if not self._ready and self._is_ready():
                    self._ready = True
                    print(f"rnnrbm is ready at {self._address}", flush=True)  # noqa: T201 (a line for the user)
                time.sleep(TICK_SECONDS)
        finally:
            self._stop()

    def _start(self, children: Sequence[Child]) -> None:
        for child in sorted(children, key=lambda child: child.stage):
            running = _Running(child)
            self._running.append(running)
            if child.stage == SERVER and self._wait_server is not None:
                self._wait_server(running.process)

    def _tend(self, running: "_Running") -> None:
        if running.restart_at is not None:
            if time.monotonic() >= running.restart_at:
                running.start()
        elif (code := running.process.poll()) is not None:
            if code == MISCONFIGURED and not self._ready:
                raise StartError(f"{running.child.name} cannot start as configured; its own message says why")
            wait = running.schedule_restart()
            logger.warning("%s ended with %d; starting it again in %.1f s", running.child.name, code, wait)
            if running.child.stage == WORKER:
                self._abandon(running.process.pid)

    def _abandon(self, pid: int) -> None:
        try:
            self._broker.abandon(pid)
        except BrokerError as error:  # then the workers' own maintenance finds the job, a few seconds later
            logger.warning("the job of process %d cannot be given back at once: %s", pid, error)

    @property
    def _address(self) -> str:
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"http://{host}:{self._settings.port}"

    def _is_ready(self) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._settings.host, self._settings.host)  # noqa: S104 (read)
        connection = http.client.HTTPConnection(host, self._settings.port, timeout=0.3)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _stop(self) -> None:
        for stage in (API, WORKER, SERVER):
            _stop_all([running.process for running in self._running if running.child.stage == stage])


class _Running:
    """A child with its process and the memory of its deaths."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.restart_at: float | None = None
        self._deaths = 0
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.child.command,
            env=self.child.environment,
            pass_fds=self.child.descriptors,
            start_new_session=True,  # Ctrl+C goes to the supervisor only, which stops the others in order
            preexec_fn=_die_with_parent if _libc else None,  # noqa: PLW1509 (this process has no other threads)
        )
        self.restart_at = None
        self._started_at = time.monotonic()

    def schedule_restart(self) -> float:
        now = time.monotonic()
        if now - self._started_at >= HEALTHY_SECONDS:
            self._deaths = 0
        first, longest = BACKOFF_SECONDS
        wait: float = min(longest, first * 2**self._deaths)
        self._deaths += 1
        self.restart_at = now + wait
        return wait


def _stop_all(processes: "Sequence[subprocess.Popen[bytes]]") -> None:
    """SIGTERM, and SIGKILL for whoever is still there after a while."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """Between fork and exec: have the kernel stop this child when its supervisor is killed."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
