"""What every route answers to those who may not, ask too often, or come while Redis is away."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from service.app import create_app
from worker.settings import Settings

NOWHERE = "redis://127.0.0.1:1"
OPEN = ("/healthz", "/readyz")


def operations(app: FastAPI) -> Iterator[tuple[str, str]]:
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path.replace("{", "").replace("}", "")


def answers(app: FastAPI, requests: Sequence[tuple[str, str]]) -> list[Response]:
    async def ask() -> list[Response]:
        async with (
            app.router.lifespan_context(app),
            AsyncClient(transport=ASGITransport(app), base_url="http://test", timeout=60) as client,
        ):
            return [await client.request(method, path) for method, path in requests]

    return asyncio.run(ask())


def guarded(app: FastAPI) -> list[tuple[str, str]]:
    """What needs a key and is counted."""
    return [(method, path) for method, path in operations(app) if path not in OPEN]


def check(response: Response, status: int) -> None:
    where = f"{response.request.method} {response.request.url}"
    assert response.status_code == status, where
    assert response.headers["content-type"] == "application/problem+json", where
    assert response.json()["detail"], where


def app_of(tmp_path_factory: pytest.TempPathFactory, **settings: object) -> FastAPI:
    return create_app(Settings(data=str(tmp_path_factory.mktemp("data")), redis_url=NOWHERE, **settings))


def test_who_asks_too_often_is_told_so_by_every_route(tmp_path_factory: pytest.TempPathFactory) -> None:
    app = app_of(tmp_path_factory, rate_limit=1)
    for response in answers(app, [("GET", "/openapi.json"), *guarded(app)])[1:]:
        check(response, 429)
        assert response.headers["retry-after"]


def test_every_route_but_the_probes_wants_a_key(tmp_path_factory: pytest.TempPathFactory) -> None:
    app = app_of(tmp_path_factory, api_keys="0" * 64)
    for response in answers(app, guarded(app)):
        check(response, 401)
        assert response.headers["www-authenticate"]


def test_without_redis_the_service_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    needing = [("GET", "/readyz"), ("GET", "/jobs"), ("POST", "/generate"), ("GET", "/jobs/x/events")]
    *refused, figures, alive = answers(app_of(tmp_path_factory), [*needing, ("GET", "/metrics"), ("GET", "/healthz")])
    for response in refused:
        check(response, 503)
        assert response.headers["retry-after"]
    assert refused[0].json()["state"] == "starting"
    assert "rnnrbm_redis_up 0.0" in figures.text
    assert alive.status_code == 200


def test_who_never_was_ready_is_starting_for_a_while_only(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.routes.health.STARTING_SECONDS", 0)
    (response,) = answers(app_of(tmp_path_factory), [("GET", "/readyz")])
    check(response, 503)
    assert (response.json()["state"], response.json()["redis"]) == ("failed", False)


def test_a_service_that_others_can_reach_without_keys_warns(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    app_of(tmp_path_factory, host="127.0.0.1")
    app_of(tmp_path_factory, host="0.0.0.0", api_keys="0" * 64)  # noqa: S104 (not listened on)
    assert not caplog.records
    app_of(tmp_path_factory, host="0.0.0.0")  # noqa: S104 (not listened on)
    assert "RNNRBM_API_KEYS" in caplog.text


def test_empty_settings_are_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEYS", "RATE_LIMIT", "WEBHOOK_SECRET", "WEBHOOK_PRIVATE", "PORT"):
        monkeypatch.setenv(f"RNNRBM_{name}", "")
    assert (Settings().key_hashes, Settings().rate_limit, Settings().port) == ((), None, 8000)


@pytest.mark.parametrize(
    "settings", [{"api_keys": "secret"}, {"api_keys": "a" * 63}, {"webhook_secret": "short"}, {"rate_limit": -1}]
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Settings(**settings)
