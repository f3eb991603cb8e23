"""What a server says instead of an answer, read from any form of body, and what follows from it."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from plum_hub.engines.base import Request
from plum_hub.engines.remote import BUSY

_MOST_CHARACTERS = 300
_TEXTS = ("message", "error", "detail", "msg", "error_description", "errors", "reason", "title")
"""Where the text of an error stands, by the habits of OpenAI, FastAPI, Hugging Face and gateways."""
_CODES = ("code", "type", "status", "error_type")
_TAG = re.compile(r"<(style|script|title)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_OUT_OF_CREDIT = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance"}
)
_OUTAGES = frozenset(
    {
        *("rate_limit_exceeded", "rate_limit_error", "server_error", "internal_error", "internal_server_error"),
        *("overloaded", "overloaded_error", "engine_overloaded_error", "service_unavailable", "unavailable"),
    }
)
"""Codes of a busy or broken server in a body with status 200."""
_OWN_CODES = frozenset(
    {
        *("context_length_exceeded", "exceed_context_size_error", "string_above_max_length", "content_filter"),
        *("content_policy_violation", "invalid_prompt", "data_inspection_failed", "json_validate_failed"),
    }
)
"""Error codes that concern one request only."""
_OWN_WORDS = (
    *("context length", "context window", "context size", "prompt is too long", "maximum input length"),
    *("input token count", "`inputs` must have less", "`inputs` tokens + `max_new_tokens`"),
    *("content exists risk", "inappropriate content", "content policy", "usage policy", "requires moderation"),
    *("could not finish the message", "failed to generate json"),
)
"""What servers without such codes say of one prompt: that it does not fit, or that a filter refused it."""
_LIMIT = re.compile(
    r"(?:maximum context length is|context length of only|maximum number of tokens allowed|"
    r"`inputs` tokens \+ `max_new_tokens` must be <=)\D{0,3}(\d+)"
)
"""How many tokens a prompt and its answer may have together, by the servers that say it."""
_OF_THE_KEY = re.compile(
    r"api[ _-]?key|credential|unauthori[sz]ed|authenticat|(?:invalid|expired|access|bearer|auth)[ _]token",
    re.IGNORECASE,
)
_UNKNOWN_CODES = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter", "extra_forbidden"})
_UNKNOWN_PARAMETER = re.compile(
    r"unsupported|unrecognized|unexpected|unknown|not support|not permitted|not recognized|extra (?:input|field)|"
    r"cannot both",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ErrorBody:
    """An error of a server.

    Attributes:
        status: The HTTP status; of a body that came with 200, the one that it names, else 200.
        codes: What the body names as code and type, in small letters.
        message: The server's words in one line; "" if there are none.
        parameter: The parameter of the request that the body names; "" if it names none.
    """

    status: int
    codes: frozenset[str]
    message: str
    parameter: str = ""

    @property
    def words(self) -> str:
        """The words, else the status."""
        return self.message or f"status {self.status}"

    @property
    def reason(self) -> str:
        """Status and words, as the reason for another try."""
        return f"status {self.status}: {self.message}" if self.message else f"status {self.status}"

    @property
    def is_out_of_credit(self) -> bool:
        """Whether the key's quota or balance is used up, whatever the status is."""
        return self.status == 402 or not self.codes.isdisjoint(_OUT_OF_CREDIT)

    @property
    def is_busy(self) -> bool:
        """Whether the same request may succeed later."""
        if self.is_out_of_credit or (self.status == 500 and self._speaks_of_the_prompt):
            return False
        outage = not self.codes.isdisjoint(_OUTAGES) or self.message.lower() in _OUTAGES
        return self.status in BUSY or (self.status == 200 and outage)

    @property
    def is_about_the_request(self) -> bool:
        """Whether the server read the request and does not want it, be it for its prompt or for a setting."""
        if self.status == 500:
            return self._speaks_of_the_prompt
        return self.status in (200, 400, 403, 413, 422) and not self.is_out_of_credit and not self.names_the_key

    @property
    def _speaks_of_the_prompt(self) -> bool:
        """Whether codes or words are those of an error of one prompt."""
        said = self.message.lower()
        return not self.codes.isdisjoint(_OWN_CODES) or any(words in said for words in _OWN_WORDS)

    @property
    def names_the_key(self) -> bool:
        """Whether the key is wrong, as against a model or a country that it is not good for."""
        return self.status == 401 or (self.status in (400, 403) and _OF_THE_KEY.search(self.message) is not None)

    @property
    def lacks_the_model(self) -> bool:
        """Whether the server has no such model, as against no such page."""
        named = re.search(r"\b(model|deployment)s?\b", self.message, re.IGNORECASE) is not None
        return self.status == 404 and (named or "model_not_found" in self.codes)

    def is_own(self, request: Request) -> bool:
        """Tell whether the error is known to concern this very request, so that others may succeed.

        Args:
            request: The request that met it.

        Returns:
            True for a prompt that is too long, or that a content filter refused. An answer's limit that no prompt would
            leave room for is a setting.
        """
        limit = _LIMIT.search(self.message)
        if not self.is_about_the_request or (limit and request.sampling.max_tokens >= int(limit[1])):
            return False
        return self.status != 500 and self._speaks_of_the_prompt

    def names_parameter(self, name: str) -> bool:
        """Tell whether the server refused a request and named this parameter, whatever is wrong with it.

        Args:
            name: The parameter.

        Returns:
            True if it did.
        """
        named = self.parameter.partition("[")[0] or self.message
        return self.status in (200, 400, 422) and re.search(rf"(?<!\w){name}(?!\w)", named) is not None

    def unknown_parameters(self, names: Iterable[str]) -> list[str]:
        """Find the parameters that the server does not know or take.

        Args:
            names: Parameters that it may mean.

        Returns:
            The one that the body names as such, else those in its text, the first first; none if the error is about
            something else.
        """
        unknown = not self.codes.isdisjoint(_UNKNOWN_CODES) or _UNKNOWN_PARAMETER.search(self.message)
        if not unknown:
            return []
        return sorted((name for name in names if self.names_parameter(name)), key=self.message.find)


def read_error(status: int, body: Any) -> ErrorBody:
    """Read the body of an error.

    Args:
        status: The HTTP status.
        body: Bytes or text as they came, or the JSON value.

    Returns:
        What it says.
    """
    if isinstance(body, bytes | str):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            text = body.decode("utf-8", errors="replace") if isinstance(body, bytes) else body
            return ErrorBody(status, frozenset(), _in_a_line(_TAG.sub(" ", text)))
    if isinstance(body, list):  # of Gemini
        body = body[0] if body else None
    outer = body if isinstance(body, Mapping) else {}
    inner = outer.get("error")
    error = inner if isinstance(inner, Mapping) else outer
    named = [str(part[key]) for part in (error, outer) for key in _CODES if part.get(key)]
    number = next((int(code) for code in named if re.fullmatch(r"[45]\d\d", code)), 0)
    return ErrorBody(
        status=number if status == 200 and number else status,
        codes=frozenset(code.lower() for code in named),
        message=_in_a_line(_text_of(body)),
        parameter=str(error.get("param") or ""),
    )


def _text_of(value: Any) -> str:
    """Find the text in a JSON value of whatever form."""
    if isinstance(value, list):
        return "; ".join(filter(None, map(_text_of, value)))
    if not isinstance(value, Mapping):
        return "" if value is None else str(value)
    text = next((text for key in _TEXTS if (text := _text_of(value.get(key)))), "")
    where = value.get("loc")
    if isinstance(where, list) and text:  # of pydantic
        return f"{'.'.join(map(str, where))}: {text}"
    details = value.get("metadata")
    if isinstance(details, Mapping) and details.get("raw"):  # a gateway's "Provider returned error"
        return f"{text} ({_text_of(details['raw'])})"
    return text or (json.dumps(value) if any(value.values()) else "")


def _in_a_line(text: str) -> str:
    return " ".join(text.split())[:_MOST_CHARACTERS]
