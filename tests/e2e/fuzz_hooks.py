"""What schemathesis is told beyond /openapi.json: files that hold something, and what JSON Schema has no words for.

A request that the schema allows has to be accepted. What else would make one impossible is mended here before it is
sent: which of two numbers is the lower one, what the model at hand can do, and how much of the machine's time is ours.
Requests that are meant to be refused go out as they are.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, HookContext
from schemathesis.transport import SerializationContext
from schemathesis.transport.requests import REQUESTS_TRANSPORT, multipart_serializer

from tests.pieces import midi_file
from worker.models import INHERITED
from worker.settings import Settings
from worker.store import MODEL, ArtefactStore

Params = dict[str, Any]

BUNDLED = "nottingham"
OF_A_MODEL = {"bars", "keep", "pitch_range", "seconds", "tempo", "transpose"}
"""What one model can do and another cannot."""
FRAMES = 8
"""Of the files below, at the bundled model's time step."""


def _bundled_model() -> bytes:
    store = ArtefactStore(Settings().data)
    return store.file(MODEL, store.find_model(BUNDLED)["id"], "model.safetensors")


TUNES = {f"tune {seed}": midi_file(seed, bars=1) for seed in range(4)}
MODEL_FILE = _bundled_model()
schemathesis.openapi.format("binary", st.sampled_from(sorted(TUNES)))  # it validates text only, so these are names


@REQUESTS_TRANSPORT.serializer("multipart/form-data")
def send_form(context: SerializationContext, form: Any) -> dict[str, Any]:
    """Put the files where their names are."""
    if isinstance(form, dict):
        form = {name: _file(name, value) for name, value in form.items()}
    sent: dict[str, Any] = multipart_serializer(context, form)
    return sent


def _file(field: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_file(field, item) for item in value]
    if not isinstance(value, str) or value not in TUNES:
        return value
    return MODEL_FILE if field == "file" else TUNES[value]


@schemathesis.hook
def before_call(_context: HookContext, case: Case, _kwargs: dict[str, Any]) -> None:
    """Make a request that the schema allows one that can be fulfilled."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.headers and "Idempotency-Key" in case.headers:
        # one that comes with another request is refused, and the same ones are thought of again and again
        case.headers["Idempotency-Key"] = uuid4().hex
    operation = case.operation.definition.raw["operationId"]
    if operation in MENDERS and isinstance(case.body, dict):
        form = case.body if case.media_type == "multipart/form-data" else {}
        params = form.setdefault("config", {}) if case.media_type == "multipart/form-data" else case.body
        if isinstance(params, dict):
            MENDERS[operation](params, form)


def _mend_generate(params: Params, form: Params) -> None:
    _at_most(params, bars=2, seconds=10, gibbs_steps=50)
    if params.get("deadline") is not None:
        params["deadline"] = max(params["deadline"], 60)  # one that passes is 504, which looks like our fault
    if OF_A_MODEL & params.keys() or form.keys() & {"primer", "source"}:
        params["model"] = BUNDLED
    params.pop("key", None)  # for models of common tonality, which the bundled one is not
    if "transpose" in params:
        params["transpose"] = min(max(params["transpose"], -21), 19)
    if params.get("pitch_range"):
        params["pitch_range"] = [min(*params["pitch_range"], 60), max(*params["pitch_range"], 70)]
    if "primer" in form and params.get("length"):
        params["length"] = max(1, params["length"] - FRAMES)
    for region in params.get("keep") or ():
        _mend_region(region)


def _mend_region(region: Params) -> None:
    if region.get("pitches"):
        region["pitches"] = [min(*region["pitches"], 60), max(*region["pitches"], 70)]
    if region.get("steps"):
        region["steps"] = [min(*region["steps"], FRAMES - 1), max(*region["steps"], FRAMES)]
    if region.get("tracks"):
        region["tracks"] = [0]


def _mend_train(params: Params, _form: Params) -> None:
    if params.get("init_from") is not None:
        for name in INHERITED:  # these are the model's, and saying something else is an error
            params.pop(name, None)
    if params.get("pitch_range"):
        params["pitch_range"] = [min(*params["pitch_range"], 60), max(*params["pitch_range"], 70)]
    _at_most(params, epochs=2, n_hidden=20, n_hidden_recurrent=20, gibbs_steps=5, deadline=5, rbm_pretraining=20)
    params["epochs"] = params.get("epochs") or 2
    if params.get("init_from") is None and params.get("rbm_pretraining") is None:
        params["rbm_pretraining"] = 20  # of some recipes it takes a minute
    params["deadline"] = params.get("deadline") or 5


def _mend_evaluate(params: Params, _form: Params) -> None:
    _at_most(params, temperatures=50, chains=2, frames=20, pieces=2)
    params |= {name: params.get(name) or most for name, most in {"temperatures": 50, "frames": 20, "pieces": 2}.items()}


def _at_most(params: Params, **most: float) -> None:
    for name, value in most.items():
        if params.get(name) is not None:
            params[name] = min(params[name], value)


MENDERS: dict[str, Callable[[Params, Params], None]] = {
    "generate": _mend_generate,
    "train": _mend_train,
    "evaluate_model": _mend_evaluate,
}
