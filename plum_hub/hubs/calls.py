"""A request to the embedded Hub, matched and authorised, and the replies that handlers make."""

# ruff: noqa: TID253 - part of the server, which is imported late, in its own process
import hmac
import json
import re
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import IO, Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

from starlette.responses import Response

from plum_hub.hubs import refusals
from plum_hub.hubs.limits import ServerLimits
from plum_hub.hubs.store import KINDS, Repo, Role, Store

_GROUPS = {
    "kinds": "(?P<kinds>models|datasets|spaces)",
    "prefix": "(?:(?P<kinds>datasets|spaces)/)?",
    "repo": "(?P<repo>[^/]+/[^/]+)",
    "path": "(?P<path>.+)",
}


class Route(NamedTuple):
    """Which calls a handler answers. In `pattern`, `{name}` is one segment of the URL; see `_GROUPS` for the others."""

    methods: str
    pattern: str
    handler: Callable[["Hub", "HubRequest"], Any]

    def compiled(self) -> re.Pattern[str]:
        """The pattern for raw (still quoted) paths: a quoted slash belongs to its segment."""
        return re.compile(re.sub(r"\{(\w+)\}", lambda it: _GROUPS.get(it[1], f"(?P<{it[1]}>[^/]+)"), self.pattern))


@dataclass
class HubRequest:
    """One request. `params` are the pattern's parts, unquoted; `body` is read from its start; `base` is our own URL."""

    method: str
    path: str
    params: dict[str, str | None]
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: IO[bytes]
    base: str
    role: Role | None
    """What the caller's token allows; None without a token."""
    chunks: Any
    """For streaming handlers: an async iterator over the body, which is then not in `body`."""

    @property
    def signed_in(self) -> bool:
        """Whether the caller may see private repos."""
        return self.role is not None

    def require_write(self) -> None:
        """Let only the owner go on.

        Raises:
            Refusal: the caller has no token, or one that only reads, or is a page of another site in a browser.
        """
        if self.headers.get("origin", self.base) != self.base:  # a browser adds the password that it was told to any
            raise refusals.forbidden("pages of other sites may not write here")
        if self.role is None:
            raise refusals.sign_in_needed()
        if self.role != "write":
            raise refusals.forbidden("this token may only read")

    def param(self, name: str) -> str:
        """A part of the URL that the pattern promises."""
        value = self.params[name]
        assert value is not None
        return value

    def option(self, name: str, default: str = "") -> str:
        """A value of the query string."""
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        """A true-or-false of the query string."""
        return self.option(name).lower() in ("1", "true")

    def json(self) -> dict[str, Any]:
        """The JSON object in the body.

        Raises:
            Refusal: it is none.
        """
        try:
            value = json.loads(self.body.read() or b"{}")
        except ValueError as error:
            raise refusals.malformed(f"the body is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise refusals.malformed("the body is not a JSON object")
        return value


@dataclass(frozen=True)
class Hub:
    """What every handler needs."""

    store: Store
    limits: ServerLimits

    def role(self, authorization: str | None) -> Role | None:
        """What the caller may do.

        Raises:
            Refusal: a token was sent, and is none of this Hub's.
        """
        if authorization is None:
            return None
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "basic":  # git sends the token as the password
            try:
                value = b64decode(value, validate=True).decode().partition(":")[2]
            except (Base64Error, UnicodeDecodeError):
                raise refusals.bad_token() from None
        for role, token in self.store.tokens.items():
            if hmac.compare_digest(value.strip().encode(), token.encode()):
                return role
        raise refusals.bad_token()

    def repo(self, call: HubRequest, *, write: bool = False, files: bool = False) -> Repo:
        """The repo that a call is about; with `files`, for the bytes of its files.

        Raises:
            Refusal: it is not there, the caller may not see it or read its files, or may not write to it.
        """
        repo = self.store.find(KINDS[call.params["kinds"] or "models"], call.param("repo"))
        if repo is None or (repo.settings.private and not call.signed_in):
            raise refusals.repo_missing(call.signed_in)
        if repo.settings.disabled:
            raise refusals.disabled()
        if files and repo.settings.gated and not call.signed_in:
            raise refusals.gated(repo.path)
        if write:
            call.require_write()
        return repo

    def sign(self, call: HubRequest, path: str, **facts: str | int) -> str:
        """A URL of ours that works for a day without a token, for exactly these facts."""
        facts["expires"] = int(time.time()) + 86_400
        return f"{call.base}{path}?{urlencode({**facts, 'signature': self._signature(path, facts)})}"

    def check_signature(self, call: HubRequest) -> dict[str, str]:
        """The facts of a signed URL.

        Raises:
            Refusal: we did not sign it, or it has expired.
        """
        facts = {key: values[0] for key, values in call.query.items()}
        given = facts.pop("signature", "")
        if not hmac.compare_digest(given.encode(), self._signature(call.path, facts).encode()):
            raise refusals.forbidden("this URL was not signed by this Hub")
        if int(facts["expires"]) < time.time():
            raise refusals.forbidden("this URL has expired")
        return facts

    def _signature(self, path: str, facts: "dict[str, str | int] | dict[str, str]") -> str:
        text = json.dumps([path, {key: str(value) for key, value in facts.items()}], sort_keys=True)
        return hmac.new(self.store.tokens["write"].encode(), text.encode(), "sha256").hexdigest()


def reply(value: Any, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """A JSON answer; dates of YAML front matter become text."""
    content = json.dumps(value, ensure_ascii=False, default=str).encode()
    return Response(content, status, headers, media_type="application/json")


def page(call: HubRequest, rows: Iterator[Any], size: int, path: str | None = None) -> tuple[list[Any], dict[str, str]]:
    """One page of `rows`, and the header that leads to the next one (at `path`, where that is not the call's own).

    The cursor is the number of rows before the page. The page size is the call's `limit`, at most `size`."""
    start, limit = int_option(call, "cursor", 0), min(int_option(call, "limit", size) or size, size)
    chosen = list(islice(rows, start, start + limit + 1))
    if len(chosen) <= limit:
        return chosen, {}
    query = {key: values for key, values in call.query.items() if key != "cursor"} | {"cursor": [str(start + limit)]}
    link = f"{call.base}{path or call.path}?{urlencode(query, doseq=True)}"
    return chosen[:limit], {"Link": f'<{link}>; rel="next"'}


def int_option(call: HubRequest, name: str, default: int) -> int:
    """A number of the query string, not negative."""
    text = call.option(name, str(default))
    if not text.isdecimal():
        raise refusals.malformed(f"{name} must be a whole number, not {text!r}")
    return int(text)


def stamp(seconds: int) -> str:
    """A time as the Hub's API writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def segment(text: str) -> str:
    """One segment of a URL, slashes quoted."""
    return quote(text, safe="")


def unquoted(match: re.Match[str]) -> dict[str, str | None]:
    """The parts of a matched path."""
    return {name: None if value is None else unquote(value) for name, value in match.groupdict().items()}
