"""The description of the API that /openapi.json gives."""

import json
import re
from collections.abc import Iterator
from functools import reduce
from operator import getitem

import service.schemas as views
from service import problems
from service.app import create_app
from service.examples import EXAMPLES
from worker import corpora, models, protocol
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


def operations(document: dict) -> Iterator[tuple[str, dict]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def test_every_route_is_described_once_with_an_operation_id_of_its_own() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    operations = {(method, path): operation for path, methods in paths.items() for method, operation in methods.items()}
    assert operations.keys() == ROUTES
    assert len({operation["operationId"] for operation in operations.values()}) == len(ROUTES)
    assert all(operation["description"] for operation in operations.values())


def test_the_bodies_of_generate_and_train_are_described() -> None:
    document = create_app(Settings()).openapi()
    paths, schemas = document["paths"], document["components"]["schemas"]
    bodies = paths["/generate"]["post"]["requestBody"]["content"]
    assert bodies["application/json"]["schema"] == {"$ref": "#/components/schemas/PieceParams"}
    form = bodies["multipart/form-data"]["schema"]["properties"]
    assert form.keys() == {"config", "primer", "source"}
    assert form["config"] == {"$ref": "#/components/schemas/GenerateParams"}
    assert schemas["GenerateParams"]["properties"].keys() - schemas["PieceParams"]["properties"].keys() == {"keep"}
    assert schemas["PieceParams"]["properties"]["sampler"]["default"] == "best"
    assert {"multipart/form-data", "application/json"} == paths["/train"]["post"]["requestBody"]["content"].keys()


def test_references_lead_somewhere() -> None:
    document = create_app(Settings()).openapi()
    references = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)))
    assert len(references) > 20
    for reference in references:
        assert reduce(getitem, reference.split("/"), document)


def test_every_example_is_one() -> None:
    schemas = create_app(Settings()).openapi()["components"]["schemas"]
    for name, example in EXAMPLES.items():
        modules = (protocol, problems, views, corpora, models)
        model = next(vars(module)[name] for module in modules if name in vars(module))
        assert model.model_validate(example)
        assert schemas[name]["examples"] == [example]


def test_every_body_and_answer_has_an_example() -> None:
    document = create_app(Settings()).openapi()
    for path, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            config = content["schema"].get("properties", {}).get("config", {})
            assert "examples" in content or config["$ref"].rpartition("/")[2] in EXAMPLES, path
        for status, response in operation["responses"].items():
            schema = response.get("content", {}).get("application/json", {}).get("schema", {})
            name = schema.get("$ref", "").removeprefix("#/components/schemas/").removeprefix("Page_").rstrip("_")
            assert not schema or name in EXAMPLES.keys() | {"CorpusDetail", "dict_str__float"}, f"{path} {status}"


def test_every_error_and_header_is_described() -> None:
    document = create_app(Settings(api_keys="0" * 64)).openapi()
    for path, operation in operations(document):
        errors = {status for status in operation["responses"] if status >= "400"}
        assert "default" in errors
        if path not in ("/healthz", "/readyz"):
            assert {"401", "429", "503"} <= errors, path
        assert ("404" in errors) >= ("{" in path), path
        refusing = "requestBody" in operation or '"query"' in json.dumps(operation.get("parameters"))
        assert ("422" in errors) == refusing, path
        assert {"400", "413", "415"} <= errors or "requestBody" not in operation, path
        for status in errors & {"429", "503"}:
            assert "Retry-After" in operation["responses"][status]["headers"]
        for status in operation["responses"].keys() & {"201", "202"}:
            assert "Location" in operation["responses"][status]["headers"]


def test_the_schemas_know_the_settings() -> None:
    small = create_app(Settings(max_length=300, max_pieces=3)).openapi()["components"]["schemas"]
    assert small["PieceParams"]["properties"]["length"]["anyOf"][0]["maximum"] == 300
    assert small["GenerateParams"]["properties"]["n"]["maximum"] == 3
    assert small["TrainParams"]["properties"]["webhook"]["type"] == "null"
    assert {"nottingham", "default", "curve.png"} <= set(small["TrainParams"]["properties"]["name"]["not"]["enum"])
    assert "not" not in small["CorpusParams"]["properties"]["name"]
    signing = create_app(Settings(webhook_secret=f"whsec_{'A' * 32}")).openapi()
    assert signing["components"]["schemas"]["TrainParams"]["properties"]["webhook"]["anyOf"][0]["format"] == "uri"
