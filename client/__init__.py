"""A client of the service over HTTP; it needs nothing of the rest of the program.

from client import Client

with Client("http://localhost:8000") as client:
    client.wait(client.train(["tunes.zip"], name="mine").id)
    client.generate(model="mine", seed=7).save("out.mid")
"""

from client.api import Client
from client.errors import ApiError, ClientError, JobError, UnreachableError
from client.views import Corpus, Event, Job, Model, Piece, Progress, Refusal

__all__ = [
    "ApiError",
    "Client",
    "ClientError",
    "Corpus",
    "Event",
    "Job",
    "JobError",
    "Model",
    "Piece",
    "Progress",
    "Refusal",
    "UnreachableError",
]
