"""A supervisor of tiny children: `python -m tests.worker.supervised_for_tests NOTES`.

`supervisor` is what it runs; `api` and `idler` are children that note their pid when they start and their name when
they stop.
"""

import http.server
import os
import signal
import sys
import threading
from pathlib import Path

from worker.main import configure_logging
from worker.settings import Settings
from worker.supervisor import API, WORKER, Child, child_environment, serve


def children(settings: Settings, url: str) -> list[Child]:
    notes = sys.argv[1]
    environment = child_environment(settings, url)
    Path(notes, "url").write_text(url)
    command = [sys.executable, "-m", "tests.worker.supervised_for_tests", notes]
    worker = [sys.executable, "-m", "tests.worker.jobs_for_tests", url, "train"]
    return [
        Child("api", [*command, "api"], API, environment),
        Child("idler", [*command, "idler"], WORKER, environment),
        Child("train", worker, WORKER, environment),
    ]


class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


def child(notes: Path, name: str) -> None:
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    if name == "api":
        settings = Settings()
        server = http.server.HTTPServer((settings.host, settings.port), Ready)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    with (notes / f"{name}.pids").open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    while not stopped.wait(0.1):
        pass
    with (notes / "stopped").open("a") as log:
        log.write(f"{name}\n")


def main() -> None:
    if len(sys.argv) > 2:
        child(Path(sys.argv[1]), sys.argv[2])
    else:
        configure_logging("INFO")
        serve(Settings(), children=children)


if __name__ == "__main__":
    main()
