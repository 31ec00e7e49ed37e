"""Idempotency keys: who sends the same request again gets the job that the first one made.

rnnrbm:idempotency:DIGEST   hash of one client's key: the request's fingerprint and the id of its job
"""

import hashlib
from dataclasses import dataclass

from redis.client import Pipeline
from rq.utils import as_text

from worker.errors import ParameterError

KEPT_SECONDS = 24 * 60 * 60


@dataclass(frozen=True)
class Claim:
    """A request that is to make one job, however often it is sent.

    Args:
        client: whose key it is; others may use the same one.
        key: what the client calls the request.
        fingerprint: equal for equal requests.
    """

    client: str
    key: str
    fingerprint: str

    def holder(self, pipe: Pipeline) -> str | None:
        """The id of the job that the request has made, if it has.

        Otherwise `pipe` is left in a transaction that fails with WatchError where another request is faster.

        Raises:
            ParameterError: the key belongs to another request.
        """
        pipe.watch(self._name)  # type: ignore[no-untyped-call]  # redis-py leaves it without types
        fingerprint, job_id = pipe.hmget(self._name, ["fingerprint", "job"])
        if fingerprint is None or job_id is None:
            pipe.multi()
            return None
        if as_text(fingerprint) != self.fingerprint:
            raise ParameterError("Idempotency-Key", "it was sent before, with another request; choose a new one")
        return as_text(job_id)

    def stake(self, pipe: Pipeline, job_id: str) -> None:
        """Remember the request's job, within the transaction that makes it."""
        pipe.hset(self._name, mapping={"fingerprint": self.fingerprint, "job": job_id})
        pipe.expire(self._name, KEPT_SECONDS)

    @property
    def _name(self) -> str:
        digest = hashlib.sha256(f"{self.client}\n{self.key}".encode()).hexdigest()
        return f"rnnrbm:idempotency:{digest}"
