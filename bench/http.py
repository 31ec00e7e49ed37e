"""POST /generate beside a job that does nothing, through the same HTTP, queue and worker.

python -m bench.http [--rounds 5] [--folder DIRECTORY] [--json FILE]

The service runs as `rnnrbm serve` runs it, supervised, with a Valkey of its own in a temporary folder; its app has one
more route, POST /no-op, whose job goes through the queue of the generate worker. Both routes are measured in turns,
with one client and with many, so that whatever else the machine does meets both. Then each stage by itself, and how
soon a fresh generate worker is ready.

The pieces go to a file system in memory where there is one, unless `--folder` names another place: on ext4 a new file
takes 0.03 ms or, for some minutes after thousands were deleted, such as a run's own, 1 ms.
"""

import argparse
import asyncio
import json
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from model.config import Sampling
from model.midi import read_roll
from model.midi_writer import write_midi
from worker.broker import Broker
from worker.embedded import EmbeddedServer
from worker.main import configure_logging
from worker.protocol import GenerateParams, Kind, Outcome, Status, complete, new_id
from worker.settings import Settings
from worker.store import GENERATION, ArtefactStore
from worker.supervisor import API, Child, child_environment, default_children, serve

Route = tuple[str, dict[str, Any]]

GENERATE: Route = ("/generate", {"length": 200, "gibbs_steps": 25})
NO_OP: Route = ("/no-op", {})
NO_OP_FUNCTIONS = {Kind.GENERATE: "bench.http.no_op"}
MEMORY = Path("/dev/shm")  # noqa: S108 (folders are made in it by tempfile)
CLIENTS = 16
ALONE = 100
"""Requests of one client in a round, on each route."""
TOGETHER = 320
"""Requests of all clients in a round, on each route."""
STARTS = 7
REPEATS = 200
READY_SECONDS = 60.0
LATENCY_GOAL, THROUGHPUT_GOAL, START_GOAL = 3.0, 0.6, 300.0
"""Most times the latency of a no-op, least part of its throughput, most milliseconds of a worker's start."""


# --- the service that is measured -------------------------------------------------------------------------------------


def no_op(params: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 (the signature of a job function)
    """The job that does nothing."""
    return Outcome(status=Status.SUCCEEDED).model_dump(mode="json")


def run_service() -> None:
    """Run the supervised service with the API of this bench."""

    def children(settings: Settings, url: str) -> list[Child]:
        *workers, api = default_children(settings, url)
        return [*workers, Child(api.name, _program("--api"), API, api.environment)]

    configure_logging("INFO")
    serve(Settings(), children)


def run_api() -> None:
    """Run the product's app with the route POST /no-op, in uvicorn as `rnnrbm api` does."""
    import uvicorn  # noqa: PLC0415 (a worker that imports `no_op` needs none of this)
    from fastapi import Response  # noqa: PLC0415
    from fastapi.concurrency import run_in_threadpool  # noqa: PLC0415

    from service.app import create_app  # noqa: PLC0415

    settings = Settings()
    app = create_app(settings)
    broker = Broker(settings.redis_url, functions=NO_OP_FUNCTIONS)

    @app.post("/no-op")
    async def answer() -> Response:
        view = await run_in_threadpool(broker.submit, Kind.GENERATE, {}, max_queued=settings.max_queued)
        view = await broker.wait(view, settings.generate_timeout)
        return Response(status_code=200 if view.status is Status.SUCCEEDED else 500)

    uvicorn.run(app, host=settings.host, port=settings.port, log_level="warning", access_log=False)


@contextmanager
def running_service(place: Path | None = None) -> Iterator[Settings]:
    """The settings of a service that is ready, with its data in a folder made in `place`; it is gone afterwards."""
    place = place or (MEMORY if MEMORY.is_dir() else None)
    with tempfile.TemporaryDirectory(dir=place) as folder, EmbeddedServer(Path(folder) / "redis") as server:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        settings = Settings(port=port, data=f"{folder}/data", redis_url=server.url, train_workers=0)
        processes = [server.start()]
        try:
            with Path(folder, "log").open("w") as log:  # one line a job, as users have it
                processes.append(
                    subprocess.Popen(
                        _program("--serve"), env=child_environment(settings, settings.redis_url), stdout=log, stderr=log
                    )
                )
            _wait_ready(settings)
            yield settings
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGTERM)
                process.wait()


def _program(option: str) -> list[str]:
    return [sys.executable, "-m", "bench.http", option]


def _address(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.port}"


def _wait_ready(settings: Settings) -> None:
    deadline = time.monotonic() + READY_SECONDS
    with httpx.Client(base_url=_address(settings)) as client:
        while time.monotonic() < deadline:
            try:
                if client.get("/readyz").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
    raise RuntimeError("the service did not become ready")


# --- measuring --------------------------------------------------------------------------------------------------------


def milliseconds(function: Callable[[], object], count: int) -> list[float]:
    """How long each of `count` calls takes."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        function()
        times.append((time.perf_counter() - started) * 1e3)
    return times


def latencies(settings: Settings, route: Route) -> list[float]:
    """Milliseconds of `ALONE` requests, one after the other on one connection."""
    path, body = route
    with httpx.Client(base_url=_address(settings), timeout=READY_SECONDS) as client:

        def ask() -> None:
            client.post(path, json=body).raise_for_status()

        ask()  # opens the connection
        return milliseconds(ask, ALONE)


async def throughput(settings: Settings, route: Route) -> float:
    """Requests a second of `CLIENTS` clients that ask again as soon as they are answered."""
    path, body = route
    async with httpx.AsyncClient(base_url=_address(settings), timeout=READY_SECONDS) as client:

        async def ask(count: int) -> None:
            for _ in range(count):
                (await client.post(path, json=body)).raise_for_status()

        await asyncio.gather(*(ask(1) for _ in range(CLIENTS)))  # opens the connections
        started = time.perf_counter()
        await asyncio.gather(*(ask(TOGETHER // CLIENTS) for _ in range(CLIENTS)))
        return TOGETHER / (time.perf_counter() - started)


def worker_start(settings: Settings) -> float:
    """Milliseconds from the start of a generate worker's process until its heart is seen to beat."""
    broker = Broker(settings.redis_url)
    started = time.perf_counter()
    command = [sys.executable, "-m", "worker.cli", "worker", "generate"]
    process = subprocess.Popen(command, env=child_environment(settings, settings.redis_url), stderr=subprocess.DEVNULL)
    try:
        while all(worker.pid != process.pid for worker in broker.workers()):
            time.sleep(0.005)  # looking more often would take the core's other half from it
        return (time.perf_counter() - started) * 1e3
    finally:
        process.terminate()
        process.wait()


def stages(settings: Settings) -> dict[str, float]:
    """Median milliseconds of the parts of the way by themselves, each called from this process."""
    store, broker = ArtefactStore(settings.data), Broker(settings.redis_url, functions=NO_OP_FUNCTIONS)
    path, body = GENERATE
    params = GenerateParams.model_validate(body)
    with httpx.Client(base_url=_address(settings)) as client:
        piece = client.post(path, json=body)
        job_id = piece.headers["x-job-id"]
        job = complete(params, store.find_model(params.model), 0)
        roll = read_roll(piece.content, Sampling(dt=job.step_seconds))
        record = store.record(GENERATION, job_id)
        files = {name: store.file(GENERATION, job_id, name) for name in ("piece.mid", "piece.roll")}
        seconds = [
            client.get(f"/jobs/{client.post(path, json=body).headers['x-job-id']}").json()["result"]["seconds"]
            for _ in range(ALONE)
        ]
        parts = {
            "HTTP alone (GET /healthz)": lambda: client.get("/healthz"),
            "find the model, complete the job": lambda: complete(params, store.find_model(params.model), 0),
            "write the MIDI file": lambda: write_midi(roll, step_seconds=job.step_seconds, tempo=job.tempo),
            "publish the piece": lambda: store.publish(GENERATION, new_id(), record, files),
            "read the piece back": lambda: store.file(GENERATION, job_id, "piece.mid"),
        }
        found = {name: statistics.median(milliseconds(part, REPEATS)) for name, part in parts.items()}
    found["the job in the worker: sample, write, publish"] = statistics.median(seconds) * 1e3
    return found | asyncio.run(_queue_stages(broker))


async def _queue_stages(broker: Broker) -> dict[str, float]:
    submitted, ended = [], []
    for _ in range(REPEATS):
        started = time.perf_counter()
        view = broker.submit(Kind.GENERATE, {}, max_queued=REPEATS)
        submitted.append(time.perf_counter() - started)
        await broker.wait(view, READY_SECONDS)
        ended.append(time.perf_counter() - started)
    await broker.close()
    return {
        "submit": statistics.median(submitted) * 1e3,
        "submit a no-op and wait for its end": statistics.median(ended) * 1e3,
    }


def measure(rounds: int = 5, folder: Path | None = None) -> dict[str, Any]:
    """Everything: latencies (ms), throughputs (requests/s), their ratios, stages (ms) and starts of a worker (ms)."""
    routes = {"no-op": NO_OP, "generate": GENERATE}
    alone: dict[str, list[float]] = {name: [] for name in routes}
    together: dict[str, list[float]] = {name: [] for name in routes}
    with running_service(folder) as settings:
        for route in routes.values():  # the first jobs load what the later ones find loaded
            latencies(settings, route)
        for _ in range(rounds):
            for name, route in routes.items():
                alone[name] += latencies(settings, route)
            for name, route in routes.items():
                together[name].append(asyncio.run(throughput(settings, route)))
        parts = stages(settings)
        starts = [worker_start(settings) for _ in range(STARTS)]
    p50 = {name: statistics.median(times) for name, times in alone.items()}
    p95 = {name: statistics.quantiles(times, n=20)[-1] for name, times in alone.items()}
    served = {name: statistics.median(rates) for name, rates in together.items()}
    return {
        "latency_ms": {name: {"p50": p50[name], "p95": p95[name]} for name in routes},
        "latency_ratio": p50["generate"] / p50["no-op"],
        "requests_per_second": served,
        "throughput_ratio": served["generate"] / served["no-op"],
        "stages_ms": parts,
        "worker_start_ms": {"median": statistics.median(starts), "least": min(starts)},
    }


def table(figures: dict[str, Any]) -> str:
    """What `measure` found, for people."""
    latency, rates = figures["latency_ms"], figures["requests_per_second"]
    p50, p95 = ({name: times[part] for name, times in latency.items()} for part in ("p50", "p95"))
    start = figures["worker_start_ms"]
    rows = [
        f"{'':26}{'no-op':>8}{'generate':>10}{'ratio':>8}{'goal':>8}",
        f"{'one client, p50 ms':26}{p50['no-op']:8.2f}{p50['generate']:10.2f}"
        f"{figures['latency_ratio']:8.2f}{LATENCY_GOAL:8.2f}",
        f"{'one client, p95 ms':26}{p95['no-op']:8.2f}{p95['generate']:10.2f}",
        f"{f'{CLIENTS} clients, requests/s':26}{rates['no-op']:8.0f}{rates['generate']:10.0f}"
        f"{figures['throughput_ratio']:8.2f}{THROUGHPUT_GOAL:8.2f}",
        f"{'start of a worker, ms':26}{'':8}{start['median']:10.0f}{'':8}{START_GOAL:8.0f}",
        "",
        *(f"{median:8.3f} ms  {name}" for name, median in figures["stages_ms"].items()),
    ]
    return "\n".join(rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the service's data are put for that time")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--api", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        run_service()
    elif arguments.api:
        run_api()
    else:
        figures = measure(arguments.rounds, arguments.folder)
        print(table(figures))
        if arguments.json:
            arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
