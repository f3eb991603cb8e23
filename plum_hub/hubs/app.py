"""The embedded Hub as an ASGI application: routes and authorises requests, and turns refusals into the headers that
clients read.
"""

# ruff: noqa: TID253 - part of the server, which is imported late, in its own process
import errno
import inspect
import json
import os
import secrets
import subprocess
import tempfile
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from plum_hub.hubs import api, discussions, files, refusals, uploads
from plum_hub.hubs.calls import Hub, HubRequest, Route, reply, unquoted
from plum_hub.hubs.limits import Quota
from plum_hub.hubs.web import pages

Message = MutableMapping[str, Any]
_ROUTES = [
    (route, route.compiled())
    for route in (*api.ROUTES, *discussions.ROUTES, *files.ROUTES, *uploads.ROUTES, *pages.ROUTES)
]
_LONGEST_MESSAGE = 2_000
"""Characters of a refusal in a header."""
_IN_MEMORY = 1 << 20
"""A longer body waits on disk for its handler. In bytes."""


class App:
    """The ASGI application.

    Args:
        hub: The Hub to serve.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._quota = Quota(hub.limits.requests) if hub.limits.requests is not None else None

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        request, headers = Request(scope, receive), {"X-Request-Id": secrets.token_hex(8)}
        try:
            if self._quota is not None:
                caller = request.headers.get("authorization") or str(scope["client"])
                headers |= self._quota.take(caller)
            response = await self._answer(request)
        except refusals.Refusal as refusal:
            response = _refused(refusal, request)
        except ClientDisconnect:
            return
        except (OSError, subprocess.CalledProcessError) as error:
            if _disk_full(error):
                answer = refusals.Refusal(507, "the disk of this Hub is full; nothing was stored")
            elif isinstance(error, subprocess.CalledProcessError):
                traceback.print_exception(error)  # into the server's log
                answer = refusals.damaged(f"git says: {_last_line(error.stderr)}")
            else:
                raise
            response = _refused(answer, request)
        for name, value in headers.items():
            response.headers[name] = value
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        # A revision or path is one quoted segment (refs%2Fpr%2F1): routing goes by the path as it was sent.
        raw_path = request.scope["raw_path"].decode("ascii", "replace").partition("?")[0]
        route, params = _matched(request.method, raw_path)
        if params.get("repo") and not raw_path.startswith("/api/"):
            params["repo"] = params["repo"].removesuffix(".git")
        role = self.hub.role(request.headers.get("authorization"))
        limit = self.hub.limits.body if role is not None else self.hub.limits.anonymous_body
        streamed = inspect.iscoroutinefunction(route.handler)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self.hub.store.scratch)) as body:
            if not streamed:
                async for piece in request.stream():
                    body.write(piece)
                    if body.tell() > limit:
                        raise refusals.too_large(limit)
                body.seek(0)
            headers = {key.lower(): value for key, value in request.headers.items()}
            call = HubRequest(
                method=request.method,
                path=raw_path,
                params=params,
                query=parse_qs(request.scope["query_string"].decode("ascii", "replace"), keep_blank_values=True),
                headers=headers,
                body=body,
                base=_base(request),
                role=role,
                chunks=request.stream() if streamed else None,
            )
            answer = await (route.handler(self.hub, call) if streamed else run_sync(route.handler, self.hub, call))
        return answer if isinstance(answer, Response) else reply(answer)


def _base(request: Request) -> str:
    """Return scheme and host as the caller addressed them; `request.url` would fail for a query that is not UTF-8."""
    host, port = request.scope.get("server") or ("localhost", None)
    return f"{request.scope['scheme']}://{request.headers.get('host') or (f'{host}:{port}' if port else host)}"


def _matched(method: str, path: str) -> tuple[Route, dict[str, Any]]:
    for route, pattern in _ROUTES:
        if method in route.methods.split() and (match := pattern.fullmatch(path)):
            params = unquoted(match)
            if any("\0" in (value or "") for value in params.values()):
                break  # no name holds a NUL, and no process can be asked about one
            return route, params
    raise refusals.Refusal(404, "Not found")


def _disk_full(error: OSError | subprocess.CalledProcessError) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return any(os.strerror(number).encode() in (error.stderr or b"") for number in (errno.ENOSPC, errno.EDQUOT))


def _last_line(said: bytes | None) -> str:
    return ((said or b"").decode("utf-8", "replace").strip().splitlines() or ["nothing"])[-1]


def _refused(refusal: refusals.Refusal, request: Request) -> Response:
    plain = refusal.message.encode("ascii", "replace").decode()
    message = "".join(it if it.isprintable() else " " for it in plain)[:_LONGEST_MESSAGE]
    headers = {"X-Error-Message": message, **refusal.headers}
    if refusal.code is not None:
        headers["X-Error-Code"] = refusal.code
    if "text/html" in request.headers.get("accept", ""):
        return pages.refused(
            refusal, headers, path=request.scope["path"], authorized="authorization" in request.headers
        )
    content = json.dumps(refusal.body or {"error": refusal.message})
    return Response(content, refusal.status, headers, media_type="application/json")
