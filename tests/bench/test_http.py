"""The bench of requests, on so few that it measures nothing but that it works."""

import pytest

from bench import http


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, number in {"ALONE": 2, "TOGETHER": http.CLIENTS, "STARTS": 1, "REPEATS": 2}.items():
        monkeypatch.setattr(http, name, number)


@pytest.mark.usefixtures("few")
def test_everything_is_measured_and_shown() -> None:
    figures = http.measure(rounds=1)
    latency, rates = figures["latency_ms"], figures["requests_per_second"]
    assert figures["latency_ratio"] == latency["generate"]["p50"] / latency["no-op"]["p50"]
    assert figures["throughput_ratio"] == rates["generate"] / rates["no-op"]
    measured = [*figures["stages_ms"].values(), *figures["worker_start_ms"].values(), *rates.values()]
    assert all(figure > 0 for figure in measured)
    shown = http.table(figures)
    assert all(name in shown for name in figures["stages_ms"])
