"""Answers that a server streams though nobody asked it to: they are paid for, so they are put together and kept."""

import json
from collections.abc import Iterator
from typing import Any

from plum_hub.engines.openai_wire import text_of
from plum_hub.engines.remote import TryAgainError
from plum_hub.engines.server_errors import read_error
from plum_hub.errors import EngineError

_BEGINNINGS = (b"data:", b"event:", b"id:", b"retry:", b":")
_DONE = "[DONE]"


def is_stream(body: bytes) -> bool:
    """Tell whether a body is a stream of events.

    Args:
        body: The body.

    Returns:
        False for JSON, and for what is neither.
    """
    return body.lstrip().startswith(_BEGINNINGS)


def joined(body: bytes) -> dict[str, Any]:
    """Put the events of one answer together.

    Args:
        body: The body, of `/v1/chat/completions` or `/v1/completions`.

    Returns:
        The JSON value that the server would have answered with, had it not streamed.

    Raises:
        TryAgainError: The stream ends before the answer does.
        EngineError: Its events have another form.
    """
    try:
        return _joined(body)
    except (AttributeError, TypeError) as error:
        raise EngineError(f"the server streams its answers in another form ({error}): is it a /v1 server?") from error


def _joined(body: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    texts: dict[str, list[str]] = {"content": [], "refusal": []}
    reason, ended = None, False
    for event in _events(body):
        if event is None:
            ended = True
            break
        if event.get("error"):
            if any(map(any, texts.values())):
                raise TryAgainError(f"the answer was broken off ({read_error(200, event['error']).words})")
            return {"error": event["error"]}
        answer |= {name: event[name] for name in ("model", "usage") if event.get(name)}
        for choice in event.get("choices") or []:
            delta = choice.get("delta") or choice.get("message") or {"content": choice.get("text")}
            for name, parts in texts.items():
                parts.append(text_of(delta.get(name)))
            reason = choice.get("finish_reason") or reason
    if not ended and reason is None:
        raise TryAgainError("the answer was broken off: its stream has no end")
    message = {name: "".join(parts) for name, parts in texts.items()}
    return {**answer, "choices": [{"message": message, "text": message["content"], "finish_reason": reason}]}


def _events(body: bytes) -> Iterator[dict[str, Any] | None]:
    """Yield the data of each event, and None for the end."""
    try:
        for block in body.decode().replace("\r\n", "\n").split("\n\n"):
            lines = [line.removeprefix("data:").strip() for line in block.split("\n") if line.startswith("data:")]
            data = "\n".join(lines)
            if data == _DONE:
                yield None
            elif data:
                yield json.loads(data)
    except ValueError as error:
        raise TryAgainError(f"the answer was broken off: an event is not JSON ({error})") from error
