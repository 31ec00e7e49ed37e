"""Content negotiation (RFC 9110, `Accept`) and preferences (RFC 7240, `Prefer`)."""

import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import Header

from service.problems import ProblemError

Accept = Annotated[str | None, Header(include_in_schema=False)]
"""The header; /openapi.json lists the media types of an answer instead, as OpenAPI wants it."""


def choose_media_type(accept: str | None, offered: Sequence[str]) -> str:
    """The offered type that `accept` likes best; the first offered one where it does not care.

    Raises:
        ProblemError: 406, none is acceptable.
    """
    ranges = [_parse(part) for part in (accept or "*/*").split(",") if part.strip()]
    best, best_quality = None, 0.0
    for media_type in offered:
        matching = [(specificity, q) for kind, q, specificity in ranges if _matches(kind, media_type)]
        quality = max(matching)[1] if matching else 0.0  # the most specific range decides
        if quality > best_quality:
            best, best_quality = media_type, quality
    if best is None:
        raise ProblemError(406, f"this can be had as {', '.join(offered)}; Accept was {accept!r}")
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


def preferred_wait(prefer: str | None, longest: float) -> tuple[float, str | None]:
    """Seconds to wait for a result, at most `longest`, and the preference that was applied, if any."""
    if prefer and (match := re.search(r"(?:^|,)\s*wait\s*=\s*\"?(\d+)", prefer, re.IGNORECASE)):
        seconds = min(float(match[1]), longest)
        return seconds, f"wait={seconds:g}"
    if prefer and re.search(r"(^|,)\s*respond-async\s*($|[,;])", prefer, re.IGNORECASE):
        return 0.0, "respond-async"
    return longest, None
