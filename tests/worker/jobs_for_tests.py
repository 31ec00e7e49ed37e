"""Job functions that need no model, and a worker process for them: `python -m tests.worker.jobs_for_tests URL KIND`."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from model import device
from worker.broker import Broker
from worker.context import Interrupted, current_context
from worker.main import configure_logging
from worker.protocol import Kind, Outcome, Status
from worker.warm import WarmWorker

FUNCTIONS = {
    Kind.GENERATE: "tests.worker.jobs_for_tests.generate",
    Kind.TRAIN: "tests.worker.jobs_for_tests.train",
}


def generate(params: dict[str, Any]) -> dict[str, Any]:
    """Do at once what the parameters ask for."""
    if "error" in params:
        raise RuntimeError(params["error"])
    if "meet" in params:
        _meet(Path(params["meet"]), params["guests"])
    return Outcome(status=Status.SUCCEEDED, result={"params": params, **_me()}).model_dump(mode="json")


def _me() -> dict[str, Any]:
    return {"pid": os.getpid(), "visible": os.environ.get(device.VISIBLE)}


def _meet(place: Path, guests: int) -> None:
    """Return once so many jobs are here at the same time."""
    (place / current_context().job_id).touch()
    while len(list(place.iterdir())) < guests:
        time.sleep(0.01)


def train(params: dict[str, Any]) -> dict[str, Any]:
    """Count up to `steps`, one each `seconds`, going on from the number in the file `checkpoint`."""
    context = current_context()
    checkpoint = Path(params["checkpoint"])
    first = step = int(checkpoint.read_text()) if checkpoint.exists() else 0
    while step < params["steps"]:
        if stop := context.stop_requested():
            if stop == "shutdown":
                raise Interrupted
            return Outcome(status=Status.CANCELLED, result={"step": step}).model_dump(mode="json")
        time.sleep(params.get("seconds", 0.0))
        step += 1
        checkpoint.write_text(str(step))
        context.report(step, params["steps"], {"cost": 1.0 / step, "diverged": float("nan")})
    result = {"first": first, "step": step, "pid": os.getpid()}
    return Outcome(status=Status.SUCCEEDED, result=result).model_dump(mode="json")


def main() -> None:
    configure_logging("INFO")
    url, kind = sys.argv[1:]
    WarmWorker(Broker(url), Kind(kind), place=_place(), kernel="test").work(logging_level="WARNING")


def _place() -> device.Device:
    """What `RNNRBM_DEVICE` asks for; these jobs need no PyTorch, so it does not matter what that is built for."""
    asked = os.environ.get("RNNRBM_DEVICE", "cpu")
    if asked == "cpu":
        return device.Device("cpu", "a test")
    device.cuda_version = lambda: "13.0"
    return device.claim(asked)


if __name__ == "__main__":
    main()
