"""The description of the API that /openapi.json gives."""

from service.app import create_app
from worker.settings import Settings

ROUTES = {
    ("post", "/generate"), ("post", "/train"),
    ("get", "/jobs"), ("get", "/jobs/{job_id}"), ("delete", "/jobs/{job_id}"), ("get", "/jobs/{job_id}/events"),
    ("get", "/models"), ("post", "/models"), ("get", "/models/curve.png"),
    ("get", "/models/default"), ("put", "/models/default"), ("delete", "/models/default"),
    ("get", "/models/{model_id}"), ("patch", "/models/{model_id}"), ("delete", "/models/{model_id}"),
    ("post", "/models/{model_id}/evaluate"),
    ("get", "/models/{model_id}/download"), ("get", "/models/{model_id}/metrics"),
    ("get", "/models/{model_id}/curve.png"),
    ("post", "/corpora"), ("get", "/corpora"), ("get", "/corpora/{corpus_id}"), ("delete", "/corpora/{corpus_id}"),
    ("get", "/corpora/{corpus_id}/files"), ("get", "/corpora/{corpus_id}/statistics.png"),
    ("get", "/generations"), ("get", "/generations/{generation_id}"), ("delete", "/generations/{generation_id}"),
    ("get", "/generations/{generation_id}.mid"), ("get", "/generations/{generation_id}.png"),
    ("get", "/generations/{generation_id}.wav"), ("get", "/generations/{generation_id}.zip"),
    ("get", "/healthz"), ("get", "/readyz"), ("get", "/metrics"),
}  # fmt: skip


def test_every_route_is_described_once_with_an_operation_id_of_its_own() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    operations = {(method, path): operation for path, methods in paths.items() for method, operation in methods.items()}
    assert operations.keys() == ROUTES
    assert len({operation["operationId"] for operation in operations.values()}) == len(ROUTES)
    assert all(operation["description"] for operation in operations.values())


def test_the_bodies_of_generate_and_train_are_described() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    bodies = paths["/generate"]["post"]["requestBody"]["content"]
    generate = bodies["application/json"]["schema"]
    assert {"model", "length", "bars", "seconds", "keep"} <= generate["properties"].keys()
    assert generate["properties"]["gibbs_steps"]["default"] == 25
    assert "$ref" not in str(generate)
    assert bodies["multipart/form-data"]["schema"]["properties"].keys() == {"config", "primer", "source"}
    assert {"multipart/form-data", "application/json"} == paths["/train"]["post"]["requestBody"]["content"].keys()
