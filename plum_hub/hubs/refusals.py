"""Error responses of the embedded Hub.

Clients choose their exception by the header `X-Error-Code`, and by a few exact messages, not by the status alone.
"""

from dataclasses import dataclass, field
from typing import Any

_ASK = {"WWW-Authenticate": 'Basic realm="plum-hub"'}
"""Makes git, and a browser, ask for a password."""


@dataclass
class Refusal(Exception):  # noqa: N818 - an answer to a client, not a fault of ours
    """A refused request.

    Attributes:
        status: The HTTP status.
        message: What the client shows.
        code: The code that clients look for.
        headers: Additional headers.
        body: Replaces `{"error": message}` where clients read more from a refusal.
    """

    status: int
    message: str
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None


def repo_missing(signed_in: bool) -> Refusal:
    """Refuse a repository that does not exist, or is private and hidden from the caller.

    Args:
        signed_in: Whether the caller has a token; anonymous callers get 401, as on the Hub.

    Returns:
        The refusal.
    """
    if signed_in:
        return Refusal(404, "Repository not found", "RepoNotFound")
    return sign_in_needed()


def sign_in_needed() -> Refusal:
    """Return the refusal of an anonymous request that needs a token."""
    return Refusal(401, "Invalid username or password.", "RepoNotFound", _ASK)


def bad_token() -> Refusal:
    """Return the refusal of an unknown token. Clients recognise it by its text."""
    return Refusal(401, "Invalid credentials in Authorization header", headers=_ASK)


def forbidden(message: str) -> Refusal:
    """Refuse a request that the token does not allow.

    Args:
        message: Why.

    Returns:
        The refusal.
    """
    return Refusal(403, message)


def damaged(what: str) -> Refusal:
    """Return the answer to a request that needs a file of the Hub that was changed outside it.

    Args:
        what: Which file, and what is wrong with it.

    Returns:
        The refusal.
    """
    return Refusal(500, what, "Damaged")


def gated(name: str) -> Refusal:
    """Refuse files of a gated repository, which is visible to everybody and readable with a token.

    Args:
        name: The repository, as in URLs.

    Returns:
        The refusal.
    """
    message = f"Access to {name} is restricted. You must be authenticated to access it."
    return Refusal(401, message, "GatedRepo", _ASK)


def disabled() -> Refusal:
    """Return the refusal of a disabled repository. Clients recognise it by its text."""
    return Refusal(403, "Access to this resource is disabled.")


def too_large(limit: int) -> Refusal:
    """Refuse a body that exceeds its limit.

    Args:
        limit: In bytes.

    Returns:
        The refusal.
    """
    return Refusal(413, f"the request has more than {limit} bytes; nothing was stored")


def too_many(headers: dict[str, str]) -> Refusal:
    """Refuse a caller whose quota is used up.

    Args:
        headers: They say for how long.

    Returns:
        The refusal.
    """
    return Refusal(429, "Too many requests", headers=headers)


def revision_missing(revision: str) -> Refusal:
    """Refuse a revision that is not a branch, tag or commit.

    Args:
        revision: The name.

    Returns:
        The refusal.
    """
    return Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_missing(commit: str, message: str = "Entry not found") -> Refusal:
    """Refuse a path that does not exist at a commit; the client remembers its absence by `X-Repo-Commit`.

    Args:
        commit: The commit.
        message: What the client shows.

    Returns:
        The refusal.
    """
    return Refusal(404, message, "EntryNotFound", {"X-Repo-Commit": commit})


def exists(message: str, **body: Any) -> Refusal:
    """Refuse to create a repository, branch or tag that exists.

    Args:
        message: What the client shows.
        body: Further fields of the response.

    Returns:
        The refusal.
    """
    return Refusal(409, message, body={"error": message, **body})


def stale_parent() -> Refusal:
    """Return the refusal of a commit whose `parentCommit` is not the branch's head."""
    return Refusal(412, "A commit has happened since. Please refresh and try again.")


def malformed(message: str) -> Refusal:
    """Refuse an invalid request.

    Args:
        message: What is wrong with it.

    Returns:
        The refusal.
    """
    return Refusal(400, message)
