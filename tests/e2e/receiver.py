"""A receiver of webhooks on this machine."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """What came in; `answers` are the statuses to answer with, the last one for all that follow."""

    answers: Sequence[int]
    url: str = ""
    received: list[tuple[dict[str, str], str]] = field(default_factory=list)

    def answer(self, headers: dict[str, str], body: str) -> int:
        self.received.append((headers, body))
        return self.answers[min(len(self.received), len(self.answers)) - 1]


@contextmanager
def receiving(*answers: int) -> Iterator[Receiver]:
    """A receiver for a while."""
    receiver = Receiver(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self.send_response(receiver.answer(dict(self.headers), body))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        yield receiver
        server.shutdown()
        thread.join()
