"""Accept and Prefer."""

import pytest

from service.negotiation import choose_media_type, preferred_wait
from service.problems import ProblemError

OFFERED = ("audio/midi", "image/png", "application/json")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "audio/midi"),
        ("*/*", "audio/midi"),
        ("image/png", "image/png"),
        ("image/*", "image/png"),
        ("Application/JSON", "application/json"),
        ("audio/midi;q=0.5, application/json", "application/json"),
        ("audio/midi;q=0, */*", "image/png"),
        ("text/html, application/json;q=0.2, */*;q=0.1", "application/json"),
    ],
)
def test_the_best_liked_form_is_chosen(accept: str, chosen: str) -> None:
    assert choose_media_type([accept], OFFERED) == chosen
    assert choose_media_type(accept.split(","), OFFERED) == chosen
    assert choose_media_type([], OFFERED) == "audio/midi"


def test_a_form_that_is_not_offered_is_refused_with_what_there_is() -> None:
    with pytest.raises(ProblemError, match="audio/midi") as raised:
        choose_media_type(["video/mp4"], OFFERED)
    assert raised.value.status == 406


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("", (120.0, None)),
        ("respond-async", (0.0, "respond-async")),
        ("wait=3", (3.0, "wait=3")),
        ("respond-async, wait=3", (3.0, "wait=3")),
        ('wait="10000000"', (120.0, "wait=120")),
        ("respond-async-x", (120.0, None)),
        ("Wait=500", (120.0, "wait=120")),
        ("handling=lenient", (120.0, None)),
        ("x-wait=3", (120.0, None)),
        ("foo; wait=3", (120.0, None)),
        ("wait=0", (0.0, "wait=0")),
        ("wait=3, wait=5", (3.0, "wait=3")),
        ("wait=-1", (120.0, None)),
        ("wait=\N{ARABIC-INDIC DIGIT THREE}", (120.0, None)),
        ('foo="a, wait=3", respond-async', (0.0, "respond-async")),
        ('foo="never closed, wait=3', (120.0, None)),
        ("respond-async=no", (120.0, None)),
        ("wait = 3 ;x", (3.0, "wait=3")),
        (",;,=", (120.0, None)),
        ('"' * 50_000 + "," * 50_000, (120.0, None)),
    ],
)
def test_preferences(prefer: str, expected: tuple[float, str | None]) -> None:
    assert preferred_wait([prefer], 120.0) == expected


def test_several_lines_of_preferences_are_one_list() -> None:
    assert preferred_wait([], 120.0) == (120.0, None)
    assert preferred_wait(["handling=lenient", "wait=3", "respond-async"], 120.0) == (3.0, "wait=3")
