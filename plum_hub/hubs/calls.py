"""A request to the embedded Hub, matched and authorised, and the replies of handlers."""

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


_DIGITS = 15
"""Digits of a number in a query; no page or file has more."""


class Route(NamedTuple):
    """Requests that a handler answers.

    Attributes:
        methods: HTTP methods, separated by spaces.
        pattern: A path; `{name}` is one segment, `_GROUPS` has the other placeholders.
        handler: Called with the Hub and the request.
    """

    methods: str
    pattern: str
    handler: Callable[["Hub", "HubRequest"], Any]

    def compiled(self) -> re.Pattern[str]:
        """Return the pattern as a regular expression for raw (still quoted) paths: a quoted slash belongs to its
        segment.
        """
        return re.compile(re.sub(r"\{(\w+)\}", lambda it: _GROUPS.get(it[1], f"(?P<{it[1]}>[^/]+)"), self.pattern))


@dataclass
class HubRequest:
    """One request.

    Attributes:
        method: The HTTP method.
        path: The path, still quoted.
        params: The placeholders of the route's pattern, unquoted.
        query: The query string, parsed.
        headers: Headers, with names in lower case.
        body: The body, at its start.
        base: Scheme and host of this Hub, as the caller addressed it.
        role: What the caller's token allows; None without a token.
        chunks: For streaming handlers, an async iterator over the body, which is then not in `body`.
    """

    method: str
    path: str
    params: dict[str, str | None]
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: IO[bytes]
    base: str
    role: Role | None
    chunks: Any

    @property
    def signed_in(self) -> bool:
        """Whether the caller may see private repositories."""
        return self.role is not None

    def require_write(self) -> None:
        """Allow only the owner.

        Raises:
            Refusal: The caller has no token or a read-only one, or is a page of another site in a browser.
        """
        if self.headers.get("origin", self.base) != self.base:  # a browser adds the password that it was told to any
            raise refusals.forbidden("pages of other sites may not write here")
        if self.role is None:
            raise refusals.sign_in_needed()
        if self.role != "write":
            raise refusals.forbidden("this token may only read")

    def param(self, name: str) -> str:
        """Return a placeholder that the route's pattern guarantees.

        Args:
            name: The placeholder.

        Returns:
            Its value, unquoted.
        """
        value = self.params[name]
        assert value is not None
        return value

    def option(self, name: str, default: str = "") -> str:
        """Return a value of the query string.

        Args:
            name: The key.
            default: Returned where the key is missing.

        Returns:
            The first value of the key.
        """
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        """Return a boolean of the query string.

        Args:
            name: The key.

        Returns:
            True for `1` and `true`.
        """
        return self.option(name).lower() in ("1", "true")

    def json(self) -> dict[str, Any]:
        """Parse the body as a JSON object.

        Returns:
            The object; empty for an empty body.

        Raises:
            Refusal: The body is not a JSON object.
        """
        try:
            value = json.loads(self.body.read() or b"{}")
        except (ValueError, RecursionError) as error:
            raise refusals.malformed(f"the body is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise refusals.malformed("the body is not a JSON object")
        return value


@dataclass(frozen=True)
class Hub:
    """The state that handlers share.

    Attributes:
        store: Repositories, large files and tokens.
        limits: Sizes and quotas.
    """

    store: Store
    limits: ServerLimits

    def role(self, authorization: str | None) -> Role | None:
        """Authenticate a caller.

        Args:
            authorization: The `Authorization` header; None where it is missing.

        Returns:
            The role of the token; None without a token.

        Raises:
            Refusal: The token is not one of this Hub's.
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
        """Find the repository of a request, and check that the caller may use it.

        Args:
            call: The request.
            files: Whether the files of the repository are read.
            write: Whether it is written to.

        Returns:
            The repository.

        Raises:
            Refusal: It does not exist or is hidden from the caller, or the caller may not read its files or write
                to it.
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

    def sign(self, call: HubRequest, method: str, path: str, **facts: str | int) -> str:
        """Make a URL that works for a day without a token, for one method and exactly these facts.

        Args:
            call: The request that is answered; its base is the URL's.
            method: The HTTP method: who may read a file may not write it.
            path: The path of the URL.
            facts: What the URL stands for, such as the SHA-256 of a file.

        Returns:
            The signed URL.
        """
        facts["expires"] = int(time.time()) + 86_400
        return f"{call.base}{path}?{urlencode({**facts, 'signature': self._signature(method, path, facts)})}"

    def check_signature(self, call: HubRequest) -> dict[str, str]:
        """Verify a signed URL.

        Args:
            call: A request to it.

        Returns:
            The facts that were signed.

        Raises:
            Refusal: The signature is not ours, or has expired.
        """
        facts = {key: values[0] for key, values in call.query.items()}
        given = facts.pop("signature", "")
        if not hmac.compare_digest(given.encode(), self._signature(call.method, call.path, facts).encode()):
            raise refusals.forbidden("this URL was not signed by this Hub")
        if int(facts["expires"]) < time.time():
            raise refusals.forbidden("this URL has expired")
        return facts

    def _signature(self, method: str, path: str, facts: "dict[str, str | int] | dict[str, str]") -> str:
        text = json.dumps([method, path, {key: str(value) for key, value in facts.items()}], sort_keys=True)
        return hmac.new(self.store.tokens["write"].encode(), text.encode(), "sha256").hexdigest()


def reply(value: Any, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """Make a JSON response; dates in YAML front matter become strings.

    Args:
        value: A JSON-serialisable value.
        headers: Additional headers.
        status: The HTTP status.

    Returns:
        The response.
    """
    content = json.dumps(value, ensure_ascii=False, default=str).encode(errors="replace")
    return Response(content, status, headers, media_type="application/json")


def page(call: HubRequest, rows: Iterator[Any], size: int, path: str | None = None) -> tuple[list[Any], dict[str, str]]:
    """Paginate rows. The cursor is the number of rows before the page; the page size is the request's `limit`.

    Args:
        call: The request.
        rows: All rows.
        size: Default and upper bound of the page size.
        path: Path of the next page, where it is not the request's own.

    Returns:
        The page, and the `Link` header to the next page, if there is one.
    """
    start, limit = int_option(call, "cursor", 0), min(int_option(call, "limit", size) or size, size)
    chosen = list(islice(rows, start, start + limit + 1))
    if len(chosen) <= limit:
        return chosen, {}
    query = {key: values for key, values in call.query.items() if key != "cursor"} | {"cursor": [str(start + limit)]}
    link = f"{call.base}{path or call.path}?{urlencode(query, doseq=True)}"
    return chosen[:limit], {"Link": f'<{link}>; rel="next"'}


def int_option(call: HubRequest, name: str, default: int) -> int:
    """Return a non-negative number of the query string.

    Args:
        call: The request.
        name: The key.
        default: Returned where the key is missing.

    Returns:
        The number.

    Raises:
        Refusal: The value is not a whole number.
    """
    text = call.option(name, str(default))
    if not text.isdecimal() or len(text) > _DIGITS:
        raise refusals.malformed(f"{name} must be a whole number, not {text[:40]!r}")
    return int(text)


def stamp(seconds: int) -> str:
    """Format a time as the Hub's API does.

    Args:
        seconds: Seconds since 1970.

    Returns:
        ISO 8601, in UTC, with milliseconds.
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def segment(text: str) -> str:
    """Quote one segment of a URL, slashes included.

    Args:
        text: The segment.

    Returns:
        The quoted segment.
    """
    return quote(text, safe="")


def unquoted(match: re.Match[str]) -> dict[str, str | None]:
    """Unquote the placeholders of a matched path.

    Args:
        match: A match of `Route.compiled`.

    Returns:
        Placeholders and values; None for an optional one that is missing.
    """
    return {name: None if value is None else unquote(value) for name, value in match.groupdict().items()}
