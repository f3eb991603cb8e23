"""Byte ranges of a small file, as a `Range` header requests them; Starlette does the same for files on disk."""

# ruff: noqa: TID253 - part of the server, which is imported late, in its own process
import secrets
from collections.abc import Mapping

from starlette.responses import Response

from plum_hub.hubs import refusals

_DIGITS = 18
_MOST = 100
"""A request for more ranges gets the whole file, which is shorter."""


def part_of(content: bytes, asked: Mapping[str, str], headers: dict[str, str]) -> Response:
    """Answer a request with the ranges of its headers.

    The whole content is returned where the headers request no range that we understand, or a range of an older version
    of the file, as RFC 9110 allows.

    Args:
        content: The file.
        asked: The request's headers.
        headers: Headers of the response, `ETag` and `Content-Type` among them.

    Returns:
        The response.

    Raises:
        Refusal: No range lies within the file.
    """
    spans = _spans(asked.get("range", ""), len(content))
    if spans is None or asked.get("if-range", headers["ETag"]) != headers["ETag"]:
        return Response(content, headers=headers)
    inside = [(start, stop) for start, stop in spans if start < stop]
    if not inside:
        outside = {"Content-Range": f"bytes */{len(content)}"}
        raise refusals.Refusal(416, "Requested range not satisfiable", headers=outside)
    places = [f"bytes {start}-{stop - 1}/{len(content)}" for start, stop in inside]
    if len(inside) == 1:
        (start, stop), place = inside[0], {"Content-Range": places[0]}
        return Response(content[start:stop], 206, headers | place)
    boundary, kind = secrets.token_hex(8), headers["Content-Type"]
    parts = [
        f"--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {place}\r\n\r\n".encode() + content[slice(*span)]
        for place, span in zip(places, inside, strict=True)
    ]
    body = b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()])
    return Response(body, 206, headers | {"Content-Type": f"multipart/byteranges; boundary={boundary}"})


def _spans(asked: str, size: int) -> list[tuple[int, int]] | None:
    """Parse `bytes=` with `first-last`, `first-` and `-count` into starts and stops; None for anything else."""
    unit, _, text = asked.partition("=")
    pieces = text.split(",")
    if unit.strip().lower() != "bytes" or len(pieces) > _MOST:
        return None
    spans = []
    for piece in pieces:
        first, dash, last = piece.strip().partition("-")
        if (
            not dash
            or not (first + last).isdecimal()
            or max(len(first), len(last)) > _DIGITS
            or (first and last and int(last) < int(first))
        ):
            return None
        if not first:
            spans.append((max(size - int(last), 0), size))
        else:
            spans.append((int(first), min(int(last) + 1, size) if last else size))
    return spans
