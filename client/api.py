"""The service's routes as methods."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack
from urllib.parse import quote
from uuid import uuid4

import httpx
from httpx_sse import ServerSentEvent, connect_sse

from client.errors import FileError, JobError, UnreachableError, error_of
from client.options import EvaluateOptions, GenerateOptions, TrainOptions
from client.uploads import Upload, opened
from client.views import Corpus, Event, Job, Model, Piece, Progress, View

LOCAL = "http://127.0.0.1:8000"
MIDI = "audio/midi"
WAIT_SECONDS = 20
"""That one request waits for a piece; longer ones are followed as jobs."""
PATIENCE = 60.0
"""Seconds in all that a request waits where the service says when to ask again: it is busy, or has no Redis."""
LOST_CONNECTIONS = 5
"""One after another, until following a job is given up."""

Item = TypeVar("Item", bound=View)
Paths = Iterable[Path | str]


class Client:
    """The service at a URL. Every method raises `ClientError`s only: see client.errors.

    Args:
        url: of the service.
        key: API key, where the service wants one.
        timeout: seconds without a byte after which an answer is given up; more than WAIT_SECONDS.
    """

    def __init__(self, url: str = LOCAL, key: str | None = None, *, timeout: float = 60.0) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with _answered(url):
            self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # --- pieces

    def generate(
        self,
        *,
        form: str = MIDI,
        primer: Path | str | None = None,
        source: Path | str | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Piece:
        """A new piece, waited for however long it takes.

        Args:
            form: media type: audio/midi, image/png, audio/wav, application/json, or application/zip for several.
            primer: MIDI file that the piece begins with and goes on from.
            source: MIDI file that is filled in around what `keep` names of it.
            options: see GenerateOptions.
        """
        headers = {"Accept": form, "Prefer": f"wait={WAIT_SECONDS}"}
        with (
            opened([primer] if primer else [], "primer") as begun,
            opened([source] if source else [], "source") as kept,
        ):
            response = self._post("/generate", options, [*begun, *kept], headers)
        seed = int(response.headers["X-Seed"])
        if response.status_code == httpx.codes.ACCEPTED:
            job = self.wait(response.headers["X-Job-Id"])
            generation = (job.result or {})["generation"]
            response = self._request("GET", f"/generations/{generation}", headers={"Accept": form})
        else:
            generation = response.headers["Location"].rpartition("/")[2]
        return Piece(generation, seed, response.headers["Content-Type"], response.content)

    # --- models

    def train(self, paths: Paths, **options: Unpack[TrainOptions]) -> Job:
        """The job that trains on MIDI files, zips of them, and folders of both; `refused` names what it cannot use."""
        with opened(paths) as files:
            return Job.model_validate(self._post("/train", options, files).json())

    def train_on(self, corpus_id: str, **options: Unpack[TrainOptions]) -> Job:
        """The job that trains on a stored corpus."""
        return Job.model_validate(self._post("/train", {**options, "corpus": corpus_id}).json())

    def evaluate(self, model: str, paths: Paths, **options: Unpack[EvaluateOptions]) -> Job:
        """The job that measures a model, by id or name, on MIDI files; its result has the figures."""
        with opened(paths) as files:
            return Job.model_validate(self._post(f"/models/{_quoted(model)}/evaluate", options, files).json())

    def bring(self, path: Path | str, name: str | None = None) -> Model:
        """Give the service a .safetensors file that another one made, under a name."""
        with opened([path], "file") as files:
            return Model.model_validate(self._post("/models", {"name": name} if name else {}, files).json())

    def models(self) -> Iterator[Model]:
        """All models, newest first."""
        return self._items("/models", Model)

    def model(self, model: str) -> Model:
        """One model by id or name."""
        return Model.model_validate(self._request("GET", f"/models/{_quoted(model)}").json())

    def delete_model(self, model: str) -> None:
        """Delete a model, by its id."""
        self._request("DELETE", f"/models/{_quoted(model)}")

    def download(self, model: str, path: Path | str) -> None:
        """Write a model's .safetensors to a file."""
        data = self._request("GET", f"/models/{_quoted(model)}/download").content
        try:
            Path(path).write_bytes(data)
        except OSError as error:
            raise FileError(path, error.strerror) from error

    # --- corpora

    def upload(self, paths: Paths) -> Corpus:
        """Store MIDI files as a corpus that can be trained on often."""
        with opened(paths) as files:
            return Corpus.model_validate(self._post("/corpora", {}, files).json())

    def corpora(self) -> Iterator[Corpus]:
        """All corpora, newest first."""
        return self._items("/corpora", Corpus)

    # --- jobs

    def jobs(
        self, kind: str | None = None, status: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Iterator[Job]:
        """All jobs, newest first, of a kind, in a state, or with all these notes."""
        notes = [f"{key}:{value}" for key, value in (metadata or {}).items()]
        return self._items("/jobs", Job, kind=kind, status=status, metadata=notes)

    def job(self, job_id: str) -> Job:
        """One job."""
        return Job.model_validate(self._request("GET", f"/jobs/{_quoted(job_id)}").json())

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; a training stops soon and keeps what it has learned."""
        return Job.model_validate(self._request("DELETE", f"/jobs/{_quoted(job_id)}").json())

    def wait(self, job_id: str, on_progress: Callable[[Progress], None] = lambda _: None) -> Job:
        """The job once it has ended; raises JobError where it brought nothing.

        Args:
            job_id: which.
            on_progress: is told of each epoch, from the first on.
        """
        for event in self.follow(job_id):
            if event.event == "progress":
                on_progress(Progress.model_validate(event.data))
        job = Job.model_validate(event.data)
        if job.status == "failed" or not job.result:
            raise JobError(job)
        return job

    def follow(self, job_id: str) -> Iterator[Event]:
        """The job's events, from its first to its `end`; where the connection is lost it goes on from there."""
        last, lost = "", 0
        while True:
            try:
                for sent in self._stream(job_id, last):
                    last, lost = sent.id, 0
                    if not sent.data:  # what httpx_sse makes of the comments that keep a quiet stream open
                        continue
                    yield Event(id=sent.id, event=sent.event, data=json.loads(sent.data))
                    if sent.event == "end":
                        return
            except httpx.TransportError as error:
                if lost >= LOST_CONNECTIONS:
                    raise UnreachableError(f"{self._http.base_url}: {error}") from error
            lost += 1
            time.sleep(lost)

    def _stream(self, job_id: str, last: str) -> Iterator[ServerSentEvent]:
        headers = {"Last-Event-ID": last} if last else {}
        with connect_sse(self._http, "GET", f"/jobs/{_quoted(job_id)}/events", headers=headers) as source:
            if source.response.is_error:
                source.response.read()
                raise error_of(source.response)
            yield from source.iter_sse()

    # --- requests

    def _items(self, path: str, view: type[Item], **filters: str | list[str] | None) -> Iterator[Item]:
        """What a list holds, page by page."""
        query: dict[str, str | list[str]] = {name: value for name, value in filters.items() if value is not None}
        while True:
            page = self._request("GET", path, params=query).json()
            yield from map(view.model_validate, page["items"])
            if page["next"] is None:
                return
            query["after"] = page["next"]

    def _post(
        self,
        path: str,
        options: Mapping[str, object],
        files: list[Upload] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Options as JSON, or as the `config` of a form where there are files; a job asked for twice is made once."""
        headers = {"Idempotency-Key": uuid4().hex, **(headers or {})}
        if not files:
            return self._request("POST", path, json=options, headers=headers)
        config = {"config": json.dumps(options)} if options else {}
        return self._request("POST", path, data=config, files=files, headers=headers)

    def _request(self, method: str, path: str, **request: Any) -> httpx.Response:
        last = time.monotonic() + PATIENCE
        while True:
            with _answered(str(self._http.base_url)):
                response = self._http.request(method, path, **request)
            if response.is_success:
                return response
            error = error_of(response)
            if error.retry_after is None or time.monotonic() + error.retry_after > last:
                raise error
            time.sleep(error.retry_after or 1)


def _quoted(reference: str) -> str:
    return quote(reference, safe="")


@contextmanager
def _answered(url: str) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnreachableError(f"{url}: {error}") from error
