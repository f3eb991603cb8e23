"""Requests and answers of the OpenAI API as JSON, for single requests and for the lines of a batch."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

from plum_hub.engines.base import Completion, Request
from plum_hub.engines.endings import Ending, ending, head_of
from plum_hub.engines.remote import TryAgainError
from plum_hub.engines.server_errors import ErrorBody, read_error
from plum_hub.errors import EngineError

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
"""Endpoints, as a batch names them."""


class ErrorAnswerError(Exception):
    """An answer with status 200 is an error.

    Args:
        body: What it says.
    """

    def __init__(self, body: ErrorBody) -> None:
        super().__init__(body.words)
        self.body = body


NO_CHOICES = "the answer has no choices"
"""What is told of such an answer, which says nothing of itself."""


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
        ErrorAnswerError: The body is another error, or has no choices, as some servers say that a filter refused it.
        EngineError: The body has another form, or an unknown `finish_reason`.
    """
    try:
        return _completion(request, answer, where, own)
    except (AttributeError, TypeError, KeyError) as error:
        raise EngineError(f"{where} answered in another form ({error}): is it a /v1 server?") from error


def _completion(request: Request, answer: Any, where: str, own: Mapping[str, Ending]) -> Completion:
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    if not choices:
        _raise_error(answer, where)
    choice, (prompt, completion, cached) = choices[0], _usage(answer)
    if broken := next((said for part in (choice, answer) if (said := read_error(200, part.get("error")).message)), ""):
        raise TryAgainError(f"the answer was broken off ({broken})")
    reason = choice.get("finish_reason")
    if not isinstance(reason, str | None):
        raise TypeError(f"the finish_reason is {reason!r:.80}")
    end = ending(reason, own)
    if end is None:
        raise EngineError(
            f"{where} ended an answer with the finish_reason {reason!r:.60}, which is unknown: to say what it means, "
            f"begin a run with --carry-over and  --set generator.finish_reasons.{head_of(str(reason)):.60}=stop  (or "
            "length, for an answer that was cut, or refused; policy.finish_reasons for the policy)"
        )
    if end == "refused":
        filtered = "" if reason == "content_filter" else f" ({reason})"
        return Completion.refused(request, f"the server's content filter refused it{filtered}", prompt, completion)
    continues = isinstance(request.prompt, str)
    message = choice if continues else choice.get("message")
    if not isinstance(message, Mapping) or (continues and "text" not in choice):
        raise TypeError("a choice without a message")
    text, stopped = request.sampling.until_stop(text_of(message.get("text" if continues else "content")))
    if not text and message.get("refusal"):
        return Completion.refused(request, " ".join(str(message["refusal"]).split()), prompt, completion)
    return Completion(
        id=request.id,
        text=text,
        finish_reason="stop" if stopped else end,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        stop=stopped,
    )


def text_of(content: Any) -> str:
    """Read a content.

    Args:
        content: A text, null, or a list of parts, of which what the model thought is none of the answer.

    Returns:
        The text.

    Raises:
        TypeError: It is something else.
    """
    if isinstance(content, list):
        return "".join(text_of(part.get("text") if isinstance(part, Mapping) else part) for part in content)
    if not isinstance(content, str | None):
        raise TypeError(f"the content is {content!r:.80}")
    return content or ""


def _usage(answer: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return the tokens of the prompt, those generated, and those of the prompt from a cache.

    They are 0 where a server tells none. Some servers count the tokens of a model's reasoning in the total alone.
    """
    usage = _object(answer.get("usage"))
    prompt, total = _count(usage.get("prompt_tokens")), _count(usage.get("total_tokens"))
    completion = max(_count(usage.get("completion_tokens")), total - prompt)
    return prompt, completion, min(prompt, _count(_object(usage.get("prompt_tokens_details")).get("cached_tokens")))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: Any) -> int:
    """Return a number of tokens, which some servers write as 10.0; 0 for what is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 0 < value < math.inf else 0


def refused(where: str, said: ErrorBody) -> EngineError:
    """Explain that a server refuses the settings of requests.

    Args:
        where: The server, for messages.
        said: What it said.

    Returns:
        An error with the server's words.
    """
    if not said.message:
        return EngineError(f"{where} refused the request without a reason ({said.words}): look into the server's log")
    if said.message == NO_CHOICES:
        return EngineError(f"{where} answered with no choices: look into the server's log, or is it no /v1 server?")
    return EngineError(f"{where} refused the request ({said.words}): change the setting that it names")


def harmless(request: Request) -> Request:
    """Make a request with the settings of another one that no filter and no limit of a context would refuse.

    Args:
        request: The request.

    Returns:
        A short prompt of the same form.
    """
    words = "Answer with one word: ready."
    if isinstance(request.prompt, str):
        return replace(request, prompt=words)
    return replace(request, prompt=[{**turn, "content": words} for turn in request.prompt])


def _raise_error(answer: Any, where: str) -> NoReturn:
    body = read_error(200, answer)
    if isinstance(answer, Mapping) and (answer.get("error") or answer.get("object") == "error"):
        if body.is_busy:
            raise TryAgainError(body.words, status=body.status)
        raise ErrorAnswerError(body)
    if isinstance(answer, Mapping) and "choices" in answer:
        raise ErrorAnswerError(replace(body, message=NO_CHOICES))
    said = f" ({body.message})" if isinstance(answer, Mapping) and body.message else ""
    raise EngineError(f"{where} answered with no choices{said}: is it a /v1 server?")
