"""/models: what was learned."""

from fastapi import APIRouter, Response

from service.deps import After, Limit, StoreDep
from service.schemas import Metrics, ModelSummary, ModelView, Page
from worker.store import MODEL

router = APIRouter(prefix="/models", tags=["models"])


@router.get("", operation_id="list_models")
def list_models(store: StoreDep, after: After = None, limit: Limit = 50) -> Page[ModelSummary]:
    """All models, newest first; those that come with the program last."""
    records, cursor = store.page(MODEL, after, limit)
    return Page(items=[ModelSummary.model_validate(record) for record in records], next=cursor)


@router.get("/{model_id}", operation_id="get_model")
def get(model_id: str, store: StoreDep) -> ModelView:
    """One model by id or name, with its config, corpus statistics and final metrics."""
    record = store.find_model(model_id)
    return ModelView.model_validate({**record, "metrics": record["metrics"][-1]})


@router.delete("/{model_id}", operation_id="delete_model", status_code=204)
def delete(model_id: str, store: StoreDep) -> None:
    """Delete a model; pieces that it made stay."""
    store.delete(MODEL, model_id)


@router.get(
    "/{model_id}/download",
    operation_id="download_model",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
def download(model_id: str, store: StoreDep) -> Response:
    """The model as a .safetensors file."""
    record = store.find_model(model_id)
    disposition = f'attachment; filename="{record["name"]}.safetensors"'
    data = store.file(MODEL, record["id"], "model.safetensors")
    return Response(data, media_type="application/octet-stream", headers={"Content-Disposition": disposition})


@router.get("/{model_id}/metrics", operation_id="get_model_metrics")
def metrics(model_id: str, store: StoreDep) -> Metrics:
    """Metrics of every epoch."""
    return Metrics(items=store.find_model(model_id)["metrics"])


@router.get(
    "/{model_id}/curve.png",
    operation_id="get_model_curve",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def curve(model_id: str, store: StoreDep) -> Response:
    """The training curve."""
    return Response(store.file(MODEL, store.find_model(model_id)["id"], "curve.png"), media_type="image/png")
