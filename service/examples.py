"""An answer of each kind, and what a form says in `config`, as /openapi.json shows them."""

from typing import Any

_TIME = "2026-03-01T12:00:00Z"
_MODEL, _PIECE, _CORPUS = "01M87VP90SSX7MD4D6A2DGDW0V", "01M87TQ3HT4BDD0YR4KSJ16PTN", "01M87VP8Z3QBY8M9EE4ZPRSQBN"
_REFUSED = [{"file": "notes.txt", "reason": "its name does not end in .mid, .midi or .zip"}]
_METRICS = {"epoch": 19.0, "cost": -3.81, "monitor": -3.95, "zero_start": -4.12}
_LINKS = {
    form: f"/generations/{_PIECE}.{suffix}" for form, suffix in {"midi": "mid", "png": "png", "wav": "wav"}.items()
}
_TRAINING: dict[str, Any] = {
    "id": _MODEL,
    "kind": "train",
    "status": "running",
    "progress": {"step": 19, "total": 60, "metrics": _METRICS},
    "metadata": {"run": "7"},
    "created_at": _TIME,
    "started_at": _TIME,
}
_MADE: dict[str, Any] = {
    "id": _PIECE,
    "model": "0-nottingham",
    "model_name": "nottingham",
    "n": 1,
    "seed": 3,
    "length": 4,
    "dt": None,
    "steps_per_beat": 2,
    "tempo": 120.0,
    "temperature": 1.0,
    "gibbs_steps": 25,
    "pitch_range": [21, 109],
    "notes": 4,
    "created_at": _TIME,
    "links": _LINKS,
}
_KNOWN: dict[str, Any] = {
    "id": _MODEL,
    "name": "mine",
    "description": "Fiddle tunes",
    "created_at": _TIME,
    "recipe": "fast",
    "config": {"kind": "rnn-rbm", "n_hidden": 150, "n_hidden_recurrent": 200, "pitch_range": [21, 109], "dt": None,
               "steps_per_beat": 2},
    "size": 475_928,
}  # fmt: skip
_STORED: dict[str, Any] = {
    "id": _CORPUS,
    "name": "reels",
    "digest": "ee2f66565dcb433bf9479517bcbeb231f2e8a9762fb14fd7fdbddbff40c8aec1",
    "files": 684,
    "usable": 683,
    "frames": 176_551,
    "refused": _REFUSED,
    "created_at": _TIME,
}

EXAMPLES: dict[str, dict[str, Any]] = {
    "ProblemDetails": {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "length: Input should be greater than or equal to 1",
        "errors": [{"field": "length", "message": "Input should be greater than or equal to 1"}],
    },
    "JobView": _TRAINING,
    "CorpusJobView": {
        **_TRAINING,
        "corpus": {"id": _CORPUS, "files": 684, "usable": 683, "refused": _REFUSED},
        "refused": _REFUSED,
    },
    "GenerationView": _MADE,
    "GenerationDetail": {
        **_MADE,
        "pieces": [{"id": _PIECE, "seed": 3, "notes": 4, "links": _LINKS}],
        "frames": [[50, 54, 57], [50, 54, 57, 74], [50, 54, 57], [50, 54, 57]],
        "log_likelihood": -1.54,
    },
    "ModelSummary": _KNOWN,
    "ModelView": {
        **_KNOWN,
        "training": {"epochs": 60, "lr": 0.0015, "batch_size": 100, "gibbs_steps": 25, "seed": 0},
        "corpus": {"id": _CORPUS, "pieces": 683, "tempo": 120.0},
        "metrics": _METRICS,
        "sha256": "c43efd212c4770bd15c240ea7a840d52fce7c06052106bb575f4e09d9fa23c6d",
    },
    "CorpusView": _STORED,
    "CorpusFile": {"file": "tune.mid", "key": "Eb minor", "tempo": 96.0, "seconds": 61.5, "beats": 98.4, "notes": 412},
    "CorpusParams": {"name": "reels", "description": "from the session"},
    "EvaluateParams": {"frames": 5000, "temperatures": 1000},
    "GenerateParams": {"bars": 4, "seed": 7},
    "ImportParams": {"name": "mine", "tempo": 90},
    "TrainParams": {"name": "mine", "epochs": 60},
    "Health": {"status": "alive"},
    "Readiness": {
        "status": "ready",
        "state": "busy",
        "redis": True,
        "workers": [{"name": "generate-43c0", "queue": "generate", "pid": 6345, "device": "cpu", "kernel": "avx512"}],
    },
}
"""By the name of the schema."""
