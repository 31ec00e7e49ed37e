"""Stored models: taken in, renamed, drawn, and gone on from. Free of torch."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.artefact import from_bytes
from model.config import ModelConfig
from model.errors import ArtefactError
from worker.errors import NotFoundError, ParameterError, UploadError
from worker.protocol import DEFAULT_MODEL, FASTEST, SLOWEST, ModelName, TrainParams, new_id
from worker.store import CONTENTS, MODEL, ArtefactStore, now

CURVE = "curve.png"
RESERVED_NAMES = {CURVE, DEFAULT_MODEL}
"""What a path under /models means already."""
MOST_CHANNELS = 512
"""Of a pitch-tied layer: some ten times as many as pay."""
INHERITED = ("n_hidden", "n_hidden_recurrent", "pitch_range", "dt", "steps_per_beat", "tonality", "learn_u0")


class Description(BaseModel):
    """What a user may say of a model; what is absent stays as it is, and a null description is none."""

    model_config = ConfigDict(extra="forbid")

    name: ModelName | None = Field(None, description="need not be unique, the newest model has it; null: the id")
    description: str | None = Field(None, max_length=2000)


class ImportParams(Description):
    """The `config` of POST /models with a file."""

    tempo: float = Field(120.0, ge=SLOWEST, le=FASTEST, description="beats a minute of its pieces, where they say none")


class SnapshotParams(Description):
    """The JSON body of POST /models: a training that runs, whose model so far is kept as one of its own."""

    job: str


class DefaultModel(BaseModel):
    """The JSON body of PUT /models/default."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=200, description="id, or name: then always the newest of that name")


def check_name(store: ArtefactStore, name: str) -> None:
    """Refuse a name that cannot be given to a model.

    Raises:
        ParameterError: it belongs to a model that comes with the program, or to a path of the API.
    """
    if name in store.bundled_names():
        raise ParameterError("name", f"{name!r} is the name of a model that comes with the program")
    if name in RESERVED_NAMES:
        raise ParameterError("name", f"{name!r} has a meaning of its own under /models")


def describe(store: ArtefactStore, reference: str, said: Description) -> dict[str, Any]:
    """Rename a model, or describe it; its record.

    Raises:
        NotFoundError: there is no such model.
        BundledError: it comes with the program.
        ParameterError: it cannot have that name.
    """
    model_id = store.find_model(reference)["id"]
    changes = said.model_dump(exclude_unset=True)
    if "name" in changes:
        changes["name"] = said.name or model_id
        check_name(store, changes["name"])
    record = store.update(MODEL, model_id, changes)
    if "name" in changes:
        store.remove_file(MODEL, record["id"], CURVE)  # it has the name in its title
    return record


def take_in(store: ArtefactStore, file: str, data: bytes, said: ImportParams) -> dict[str, Any]:
    """Store a model file from elsewhere, as it is, once every tensor was checked; its record.

    Raises:
        UploadError: it is no model that could have been trained here.
        ParameterError: it cannot have that name.
    """
    try:
        config = from_bytes(data).config
        _check_bounds(config)
    except ArtefactError as error:
        raise UploadError(f"{file}: {error}", [{"file": file, "reason": str(error)}]) from error
    record = {
        "recipe": "imported",
        "config": config.to_dict(),
        "training": {},
        "metrics": [],
        "corpus": {"tempo": said.tempo},
    }
    return _publish(store, record, data, said)


def _check_bounds(config: ModelConfig) -> None:
    """What a training may not ask for, a file may not either."""
    if config.n_channels > MOST_CHANNELS:
        raise ArtefactError(f"config: n_channels {config.n_channels} is more than {MOST_CHANNELS}")
    values = config.to_dict()
    try:
        TrainParams.model_validate_json(json.dumps({name: values[name] for name in INHERITED}), strict=True)
    except ValidationError as error:
        facts = (f"{'.'.join(map(str, fact['loc']))}: {fact['msg']}" for fact in error.errors())
        raise ArtefactError(f"config: {'; '.join(facts)}") from error


def keep_snapshot(store: ArtefactStore, said: SnapshotParams) -> dict[str, Any]:
    """Store the model of a training that runs, as it is so far, as a model of its own; its record.

    Raises:
        NotFoundError: no such training runs, or it has saved nothing yet.
        ParameterError: the model cannot have that name.
    """
    record, weights = store.snapshot(said.job)
    return _publish(store, {**record, "snapshot_of": said.job}, weights, said)


def _publish(store: ArtefactStore, record: dict[str, Any], weights: bytes, said: Description) -> dict[str, Any]:
    if said.name:
        check_name(store, said.name)
    model_id = new_id()
    about = {
        "id": model_id,
        "name": said.name or model_id,
        "description": said.description,
        "created_at": now(),
        "size": len(weights),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    record = {**record, **about}
    store.publish(MODEL, model_id, record, {CONTENTS[MODEL]: weights})
    return record


def reached(record: dict[str, Any]) -> dict[str, float]:
    """The metrics of a model by its record: those of its best epoch, and how likely it finds what was held out."""
    found: dict[str, float] = record.get("reached") or next(reversed(record["metrics"]), {})
    return found


def curve(store: ArtefactStore, reference: str) -> bytes:
    """The training curve of a model as PNG, drawn where it is not there yet.

    Raises:
        NotFoundError: there is no such model, or it was not trained here.
    """
    record = _trained(store, reference)
    try:
        return store.file(MODEL, record["id"], CURVE)
    except NotFoundError:
        from model.curve import curve_png  # noqa: PLC0415 (matplotlib, half a second that only pictures need)

        picture = curve_png(record["metrics"], title=record["name"])
        store.write_file(MODEL, record["id"], CURVE, picture)
        store.sweep(MODEL, record["id"])
        return picture


def curves(store: ArtefactStore, references: list[str]) -> bytes:
    """The training curves of several models in one PNG.

    Raises:
        NotFoundError: there is no such model, or it was not trained here.
    """
    from model.curve import curves_png  # noqa: PLC0415 (as above)

    records = [_trained(store, reference) for reference in references]
    return curves_png([(record["name"], record["metrics"]) for record in records])


def _trained(store: ArtefactStore, reference: str) -> dict[str, Any]:
    record = store.find_model(reference)
    if not record["metrics"]:
        raise NotFoundError("training curve, as it was not trained here, of model", reference)
    return record


def complete_training(store: ArtefactStore, params: TrainParams) -> TrainParams:
    """The training with what follows from the model that it goes on from, if any.

    Raises:
        NotFoundError: there is no such model.
        ParameterError: it contradicts that model, or its own cannot have that name.
    """
    if params.name is not None:
        check_name(store, params.name)
    if params.init_from is None:
        return params
    parent = store.find_model(params.init_from)
    config = ModelConfig.from_dict(parent["config"]).to_dict()  # an older record has fewer members
    inherited = {name: config[name] for name in INHERITED}
    said = params.model_dump(mode="json", exclude_none=True)
    for field in INHERITED:
        if field in said and said[field] != inherited[field]:
            has = ", ".join(f"{name} {value}" for name, value in inherited.items() if value is not None)
            raise ParameterError(field, f"leave it out, as init_from decides it: model {parent['name']!r} has {has}")
    return TrainParams.model_validate({**said, **inherited, "init_from": parent["id"]})
