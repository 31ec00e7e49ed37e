"""The compose files and the Dockerfile fit together; `make lint` has Docker check them where it is there."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
MAIN, GPU = "docker-compose.yml", "docker-compose.gpu.yml"


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load(ROOT / name)
    return content


def devices(service: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", [])
    )
    return found


def test_only_the_override_asks_for_a_gpu() -> None:
    assert not any(devices(service) for service in load(MAIN)["services"].values())
    asking = {name for name, service in load(GPU)["services"].items() if devices(service)}
    assert asking == {"train", "generate", "evaluate"}
    for name in asking:
        (device,) = devices(load(GPU)["services"][name])
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


def test_every_service_of_the_override_is_one_of_the_main_file_or_extends_one() -> None:
    main, override = load(MAIN)["services"], load(GPU)["services"]
    for name, service in override.items():
        if name not in main:
            assert service["extends"]["file"] == MAIN
            assert service["extends"]["service"] in main
            assert service["environment"]["RNNRBM_DEVICE"] == "cpu"
    assert main.keys() - override.keys() == {"redis"}  # the others all have the image for GPUs
    assert {service["image"] for service in override.values()} == {"rnnrbm:cuda"}


@pytest.mark.parametrize("argument", load(GPU)["services"]["api"]["build"]["args"])
def test_the_dockerfile_knows_the_arguments(argument: str) -> None:
    assert re.search(rf"^ARG {argument}=", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
