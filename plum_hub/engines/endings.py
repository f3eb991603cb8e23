"""How an answer ended, in the words of the servers: `finish_reason` has as many values as there are providers."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from plum_hub.engines.remote import TryAgainError

Ending: TypeAlias = Literal["stop", "length", "refused"]
"""What a completion's `finish_reason` may be."""
_STOP = (
    *("", "stop", "stop_sequence", "stop_token", "eos", "eos_token", "end", "end_turn"),
    *("complete", "completed", "finished", "tool_calls", "tool_call", "tool_use", "function_call"),
)
"""The model ended by itself, or at a stop string. A call of a tool that nobody offered is an answer like any other."""
_LENGTH = (
    *("length", "max_tokens", "max_length", "max_new_tokens", "max_output_tokens", "max_completion_tokens"),
    *("model_length", "token_limit", "model_context_window_exceeded", "context_length_exceeded", "error_limit"),
    "repetition",
)
"""The server cut the answer at a limit."""
_REFUSED = (
    *("content_filter", "content_filtered", "sensitive", "safety", "recitation", "blocklist", "prohibited_content"),
    *("spii", "language", "refusal", "guardrail_intervened", "error_toxic", "function_call_filter"),
    *("malformed_function_call", "unexpected_tool_call", "too_many_tool_calls"),
)
"""A filter took the answer away, or a part of it; Gemini's also takes what looks like a call of a tool."""
_BROKEN_OFF = (
    *("error", "abort", "aborted", "cancel", "cancelled", "canceled", "timeout", "network_error", "server_error"),
    *("insufficient_system_resource", "unavailable", "overloaded", "preempted", "malformed_response"),
)
"""Something broke on the way, so the answer may not be whole."""
_ENDINGS: dict[str, Ending] = {
    **dict.fromkeys(_STOP, "stop"), **dict.fromkeys(_LENGTH, "length"), **dict.fromkeys(_REFUSED, "refused")
}  # fmt: skip


def ending(reason: object, own: Mapping[str, Ending]) -> Ending | None:
    """Translate a server's `finish_reason`.

    Args:
        reason: The value, in any spelling, perhaps with more words after a colon; None where the server gives none.
        own: What further values mean, by the user's settings.

    Returns:
        How the answer ended; None for an unknown value, of which nobody can tell whether the answer is whole.

    Raises:
        TryAgainError: The answer was broken off by an outage.
    """
    said = "" if reason is None else str(reason)
    head = head_of(said)
    if own_end := own.get(said) or own.get(head):
        return own_end
    name = head.lower()
    if name in _BROKEN_OFF:
        raise TryAgainError(f"the answer was broken off ({said})")
    return _ENDINGS.get(name)


def head_of(reason: str) -> str:
    """Return a `finish_reason` without the words that some servers add to it.

    Args:
        reason: For example `content_filter: PROHIBITED_CONTENT`.

    Returns:
        What stands before the colon.
    """
    return reason.partition(":")[0].strip()
