"""What `huggingface_hub` raises, as one line that says what fixes it."""

# ruff: noqa: TID253 - only the process that has the library imports this
import json
from pathlib import Path
from typing import Protocol

from huggingface_hub import constants, errors

from plum_hub.errors import HubError
from plum_hub.hubs.client import SIGN_IN
from plum_hub.network import offline_variable

FAILURES = (HubError, errors.HTTPError, OSError, ValueError, RuntimeError)
"""What an action raises when the Hub, the network or the content is to blame."""


class AskedHub(Protocol):
    """What an action was to do, and where."""

    endpoint: str
    """The Hub's URL."""
    repo: str
    kind: str
    embedded: bool


def explained(error: BaseException, hub: AskedHub) -> str:
    """Return one line on what the Hub or the way to it did wrong, and what fixes it.

    Args:
        error: One of `FAILURES`.
        hub: The repository that was asked for.
    """
    if isinstance(error, HubError):
        return str(error)
    if type(error) is RuntimeError and error.__cause__ is not None:  # how uploading threads report
        return explained(error.__cause__, hub)
    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(error, hub)
    missing = (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError)
    if isinstance(error, missing) and (variable := offline_variable()):
        return (
            f"{variable} is set, and {hub.repo} at this very commit is not in the cache; unset it, or name the commit"
        )
    if isinstance(error, errors.HFValidationError):
        return f"{hub.repo}: no valid repo name; write namespace/name in letters, digits, '-', '_' and '.'"
    if isinstance(error, (errors.HTTPError, ConnectionError, errors.LocalEntryNotFoundError)):
        advice = "run it again" if hub.embedded else "check the network, or use --hub embedded"
        return f"{hub.endpoint} cannot be reached ({_one_line(error)}); {advice}"
    if isinstance(error, OSError) and error.filename and _is_of_cache(Path(error.filename)):
        return f"{_one_line(error)}; the Hub's client keeps what it loads there: set HF_HOME to another folder"
    if isinstance(error, json.JSONDecodeError):
        return f"{hub.endpoint} does not answer as a Hub does; check the URL"
    if isinstance(error, ValueError):
        return f"{hub.repo}: the Hub refuses the content: {_one_line(error)}; fix that and run it again"
    return f"{_one_line(error)}; fix that and run it again"


def is_outage(error: BaseException) -> bool:
    """Tell whether the same may succeed later: the Hub cannot be reached, or is overloaded or broken.

    Args:
        error: One of `FAILURES`.

    Returns:
        True if so.
    """
    if isinstance(error, errors.HfHubHTTPError):
        status: int = error.response.status_code
        return status >= 500 or status == 429
    return isinstance(error, (errors.HTTPError, ConnectionError)) and not isinstance(error, errors.OfflineModeIsEnabled)


def _refusal(error: errors.HfHubHTTPError, hub: AskedHub) -> str:
    status, at, repo = error.response.status_code, hub.endpoint, hub.repo
    token_file = "look in the token file of the embedded Hub's folder for its owner's token"
    sign_in = token_file if hub.embedded else SIGN_IN
    if error.response.headers.get("X-Error-Message") == "Invalid credentials in Authorization header":
        return f"{at} refuses the token; {sign_in}"
    if isinstance(error, errors.GatedRepoError):
        return f"{repo} is gated: ask for access on its page on {at}, then {sign_in}"
    if isinstance(error, errors.RepositoryNotFoundError):
        advice = "check the name" if hub.embedded else f"check the name, or {sign_in}"
        return f"{at} has no {hub.kind} {repo}, or this account may not see it; {advice}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo} on {at} has no such revision: {said(error)}; name an existing tag, branch or commit"
    advices = {
        401: f"the token is missing or refused; {sign_in}",
        403: f"this token may not write to {repo}: {said(error)}; use a repo in your own namespace, or {sign_in}",
        412: f"somebody else changed {repo} meanwhile, so nothing was written; run it again",
        429: "too many requests; wait a few minutes, then run it again",
        507: "the Hub's disk is full; make room, then run it again",
    }
    if status in advices:
        return f"{at}: {advices[status]}"
    if error.response.headers.get("X-Error-Code") == "Damaged":
        return f"{at} cannot read what it stores: {said(error)}; restore that, or move the Hub's folder away"
    if status >= 500:
        return f"{at} is broken at the moment (HTTP {status}); run it again later"
    return f"{at} refuses {repo} (HTTP {status}): {said(error)}; fix that and run it again"


def said(error: errors.HfHubHTTPError) -> str:
    """Return what a Hub said about a refusal, in one line.

    Args:
        error: The refusal.
    """
    return _one_line(error.server_message or error.response.headers.get("X-Error-Message") or error)


def _is_of_cache(path: Path) -> bool:
    """Tell whether a path leads to the cache of the Hub's client, or lies in it."""
    cache = Path(constants.HF_HOME)
    return path.is_relative_to(cache) or cache.is_relative_to(path)


def _one_line(thing: object) -> str:
    return " ".join(str(thing).split())[:300].rstrip(".")
