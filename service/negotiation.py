"""Content negotiation (RFC 9110, `Accept`) and preferences (RFC 7240, `Prefer`)."""

import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Header, Request

from service.problems import ProblemError

_PREFERENCE = re.compile(r'((?:[^",;]|"[^"]*"?)*)(?:;(?:[^",]|"[^"]*"?)*)?(?:,|$)')
"""Up to a comma outside of quotes; its group leaves out the parameters, which no preference here has."""


async def _accept(request: Request) -> list[str]:
    return request.headers.getlist("accept")


async def _prefer(
    request: Request,
    prefer: Annotated[  # noqa: ARG001 (described to /openapi.json; it has no word for a header of several lines)
        str | None,
        Header(
            description="RFC 7240: respond-async, or wait=SECONDS; what is not understood counts as absent",
            examples=["wait=10", "respond-async"],
        ),
    ] = None,
) -> list[str]:
    return request.headers.getlist("prefer")


Accept = Annotated[list[str], Depends(_accept)]
"""The header's lines; /openapi.json lists the media types of an answer instead, as OpenAPI wants it."""
Prefer = Annotated[list[str], Depends(_prefer)]
"""The header's lines."""


def choose_media_type(accept: Sequence[str], offered: Sequence[str]) -> str:
    """The offered type that the lines of `accept` like best; the first offered one where they do not care.

    Raises:
        ProblemError: 406, none is acceptable.
    """
    said = ",".join(accept)
    ranges = [_parse(part) for part in (said.strip() or "*/*").split(",") if part.strip()]
    best, best_quality = None, 0.0
    for media_type in offered:
        matching = [(specificity, q) for kind, q, specificity in ranges if _matches(kind, media_type)]
        quality = max(matching)[1] if matching else 0.0  # the most specific range decides
        if quality > best_quality:
            best, best_quality = media_type, quality
    if best is None:
        raise ProblemError(406, f"this can be had as {', '.join(offered)}; Accept was {said!r}")
    return best


def _parse(part: str) -> tuple[str, float, int]:
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        if match := re.fullmatch(r"q\s*=\s*([01](?:\.\d{0,3})?)", parameter):
            quality = min(float(match[1]), 1.0)
    return kind, quality, 2 - kind.count("*")


def _matches(kind: str, media_type: str) -> bool:
    if kind.endswith("/*"):
        return kind == "*/*" or media_type.startswith(kind[:-1])
    return kind == media_type


def preferred_wait(prefer: Sequence[str], longest: float) -> tuple[float, str | None]:
    """Seconds to wait for a result, at most `longest`, and the preference that was applied, if any.

    `prefer` are the header's lines, which are as one. What cannot be read counts as absent, as RFC 7240 has it, and of
    a preference that is there twice the first.
    """
    said: dict[str, str] = {}
    for preference in _PREFERENCE.findall(",".join(prefer)):
        name, _, value = preference.partition("=")
        said.setdefault(name.strip().lower(), value.strip().strip('"'))
    if re.fullmatch(r"[0-9]+", said.get("wait", "")):
        seconds = min(float(said["wait"]), longest)
        return seconds, f"wait={seconds:g}"
    if said.get("respond-async") == "":
        return 0.0, "respond-async"
    return longest, None
