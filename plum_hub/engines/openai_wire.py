"""Requests and answers of the OpenAI API as JSON, for single requests and for the lines of a batch."""

import re
from collections.abc import Mapping
from typing import Any, NoReturn

from plum_hub.engines.base import Completion, Request
from plum_hub.engines.endings import Ending, ending
from plum_hub.engines.remote import BUSY, TryAgainError
from plum_hub.errors import EngineError

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
"""Endpoints, as a batch names them."""
OUT_OF_CREDIT = "insufficient_quota"
"""The error code of a key whose quota is used up; other servers answer with status 402."""
_REFUSALS = ("context_length_exceeded", "content_filter", "content_policy_violation", "string_above_max_length")
"""Error codes that concern this very request."""
_TOO_LONG = ("context length", "context window", "context size", "too long", "too many tokens", "maximum input length")
"""What servers without error codes say of a prompt that does not fit."""

_CONTEXT = re.compile(r"maximum context length is (\d+)")
"""What vLLM and OpenAI say if the prompt alone does not fit, and if the prompt and `max_tokens` do not."""


class SchemaRefusedError(EngineError):
    """The server refused a request with a schema, perhaps because it does not take schemas."""


def endpoint_of(request: Request) -> str:
    """Name the endpoint for a request.

    Args:
        request: The request.

    Returns:
        `CHAT` for a conversation, `COMPLETIONS` for plain text.
    """
    return COMPLETIONS if isinstance(request.prompt, str) else CHAT


def request_body(request: Request, model: str, *, own_server: bool) -> dict[str, object]:
    """Build the body of a request.

    Args:
        request: The request.
        model: The server's name for the model.
        own_server: Whether it goes to a server that the user named. OpenAI's newer models refuse `max_tokens`; many
            other servers know nothing else.

    Returns:
        JSON values.
    """
    sampling = request.sampling
    plain = isinstance(request.prompt, str)
    body: dict[str, object] = {
        "prompt" if plain else "messages": request.prompt,
        "max_tokens" if plain or own_server else "max_completion_tokens": sampling.max_tokens,
        "model": model,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": request.seed,
    }
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if request.schema is not None:
        schema = {"name": "answer", "schema": dict(request.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def completion_of(request: Request, answer: Any, where: str, own: Mapping[str, Ending]) -> Completion:
    """Read the body of an answer with status 200.

    Args:
        request: The request.
        answer: The JSON value.
        where: The server, for messages.
        own: What values of `finish_reason` mean that only this server has.

    Returns:
        The completion; a refusal if the server's content filter refused it.

    Raises:
        TryAgainError: The body is the error of a busy server behind a gateway.
        EngineError: The body has no choices, or another form, or an unknown `finish_reason`.
    """
    try:
        return _completion(request, answer, where, own)
    except (AttributeError, TypeError, KeyError) as error:
        raise EngineError(f"{where} answered in another form ({error}): is it a /v1 server?") from error


def _completion(request: Request, answer: Any, where: str, own: Mapping[str, Ending]) -> Completion:
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    if not choices:
        _raise_error(answer, where)
    choice, usage = choices[0], answer.get("usage") or {}
    if choice.get("error"):
        raise TryAgainError(f"the answer was broken off ({error_of(choice)[1]})")
    reason = choice.get("finish_reason")
    end = ending(reason, own)
    if end is None:
        raise EngineError(
            f"{where} ended an answer with the finish_reason {reason!r:.60}, which is unknown: to say what it means, "
            f"begin a run with --carry-over and  --set generator.finish_reasons.{reason!s:.60}=stop  (or length, for "
            "an answer that was cut, or refused; policy.finish_reasons for the policy)"
        )
    if end == "refused":
        filtered = "" if reason == "content_filter" else f" ({reason})"
        return Completion.refused(request, f"the server's content filter refused it{filtered}")
    continues = isinstance(request.prompt, str)
    message = choice if continues else choice.get("message")
    if not isinstance(message, Mapping) or (continues and "text" not in choice):
        raise TypeError("a choice without a message")
    text = _text(message.get("text" if continues else "content"))
    if not text and message.get("refusal"):
        return Completion.refused(request, " ".join(str(message["refusal"]).split()))
    return Completion(
        id=request.id,
        text=text,
        finish_reason=end,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count((usage.get("prompt_tokens_details") or {}).get("cached_tokens")),
    )


def _text(content: Any) -> str:
    """Return the text of a content, which may be null or a list of parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content)
    if not isinstance(content, str | None):
        raise TypeError(f"the content is {content!r:.80}")
    return content or ""


def _count(value: Any) -> int:
    """Return a number of tokens; 0 for what is none."""
    return value if type(value) is int and value > 0 else 0


def error_of(body: Any) -> tuple[str, str]:
    """Read the body of an answer with an error.

    Args:
        body: The JSON value: `{"error": {"code", "message"}}`, or what is in it.

    Returns:
        The code, "" if there is none, and the message.
    """
    error = body.get("error", body) if isinstance(body, Mapping) else body
    if not isinstance(error, Mapping):
        return "", str(error)[:300]
    return str(error.get("code") or ""), str(error.get("message") or error)[:300]


def is_refusal(request: Request, status: int, code: str, message: str) -> bool:
    """Tell whether an error concerns this very request, so that another try would not help, and others may succeed.

    Args:
        request: The request.
        status: The HTTP status.
        code: The error's code.
        message: The error's message.

    Returns:
        True for a prompt that is too long, or that a content filter refused. An answer's limit that no prompt would
        leave room for is a setting.
    """
    context = _CONTEXT.search(message)
    if context is not None and request.sampling.max_tokens >= int(context[1]):
        return False
    known = code in _REFUSALS or any(words in message.lower() for words in _TOO_LONG)
    return status in (400, 413, 422) and known


def refused(request: Request, where: str, message: str) -> EngineError:
    """Explain a request that a server refused.

    Args:
        request: The request.
        where: The server, for messages.
        message: What it said.

    Returns:
        An error that names what to change; a `SchemaRefusedError` if the request has a schema.
    """
    if request.schema is not None:
        return SchemaRefusedError(
            f"{where} refused a request for an answer by a JSON schema ({message}): set suites.structured=false, "
            "or change the setting that it names"
        )
    return EngineError(f"{where} refused the request ({message}): change the setting that it names")


def is_busy(status: int, code: str) -> bool:
    """Tell whether the same request may succeed later.

    Args:
        status: The HTTP status.
        code: The error's code.

    Returns:
        False for a used-up quota, though its status is that of a busy server.
    """
    return status in BUSY and code != OUT_OF_CREDIT


def _raise_error(answer: Any, where: str) -> NoReturn:
    code, message = error_of(answer)
    if isinstance(answer, Mapping) and "error" in answer:
        if code.isdigit() and int(code) in BUSY:
            raise TryAgainError(message, status=int(code))
        raise EngineError(f"{where} answered with an error ({message}): change the setting that it names")
    raise EngineError(f"{where} answered with no choices: is it a /v1 server?")
