"""The embedded Hub's answers to what it will not do.

Clients choose their exception by the header `X-Error-Code`, and by a few exact messages, not by the status alone.
"""

from dataclasses import dataclass, field
from typing import Any

_ASK = {"WWW-Authenticate": 'Basic realm="plum-hub"'}
"""git, and a browser, asks for a password on seeing it."""


@dataclass
class Refusal(Exception):  # noqa: N818 - an answer to a client, not a fault of ours
    """One refused request: its status, the code that clients look for, the message they show."""

    status: int
    message: str
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    """Replaces `{"error": message}` where clients read more from a refusal."""


def repo_missing(signed_in: bool) -> Refusal:
    """Also the answer for a private repo that the caller may not see; anonymous callers get 401, as on the Hub."""
    if signed_in:
        return Refusal(404, "Repository not found", "RepoNotFound")
    return sign_in_needed()


def sign_in_needed() -> Refusal:
    """An anonymous caller asked for what needs a token."""
    return Refusal(401, "Invalid username or password.", "RepoNotFound", _ASK)


def bad_token() -> Refusal:
    """The text is the client's key for its own exception."""
    return Refusal(401, "Invalid credentials in Authorization header", headers=_ASK)


def forbidden(message: str) -> Refusal:
    """The token is right, the right is lacking."""
    return Refusal(403, message)


def gated(name: str) -> Refusal:
    """Everybody sees that the repo is there, and only who has a token reads its files."""
    message = f"Access to {name} is restricted. You must be authenticated to access it."
    return Refusal(401, message, "GatedRepo", _ASK)


def disabled() -> Refusal:
    """The text is the client's key for its own exception."""
    return Refusal(403, "Access to this resource is disabled.")


def too_large(limit: int) -> Refusal:
    """More bytes than were agreed on."""
    return Refusal(413, f"the request has more than {limit} bytes; nothing was stored")


def too_many(headers: dict[str, str]) -> Refusal:
    """The caller's quota is used up; the headers say for how long."""
    return Refusal(429, "Too many requests", headers=headers)


def revision_missing(revision: str) -> Refusal:
    """No branch, tag or commit of that name."""
    return Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_missing(commit: str, message: str = "Entry not found") -> Refusal:
    """No such path at that commit; the client remembers the absence under `X-Repo-Commit`."""
    return Refusal(404, message, "EntryNotFound", {"X-Repo-Commit": commit})


def exists(message: str, **body: Any) -> Refusal:
    """A repo, branch or tag of that name is there already."""
    return Refusal(409, message, body={"error": message, **body})


def stale_parent() -> Refusal:
    """`parentCommit` is not the branch's head."""
    return Refusal(412, "A commit has happened since. Please refresh and try again.")


def malformed(message: str) -> Refusal:
    """The request itself makes no sense."""
    return Refusal(400, message)
