"""Hostile requests to the embedded Hub, the same for the same seed, over raw sockets: no client sends them."""

import json
import random
import re
import socket
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from plum_hub.hubs import api, discussions, files, uploads
from plum_hub.hubs.web import pages

Draw = random.Random

_OPTIONS = (
    "cursor",
    "limit",
    "p",
    "skip",
    "expires",
    "signature",
    "service",
    "recursive",
    "diff",
    "create_pr",
    "sha256",
)
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get", "G\x01T", "")
_UP = (
    "..", "%2e%2e", "..%2f..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "....//", "..\\", "%5c..", "%00", "%0d%0aX-Own:%201",
    ".git", ".git%2fconfig", "~root", "C:", "%ff", "%c0%ae%c0%ae", "a" * 5000, "-rf", "--upload-pack=x", "HEAD@%7b1%7d",
    "refs%2fheads%2fmain", "refs%2fpr%2f1", "main%5e%7bcommit%7d", "0" * 40, "f" * 39, "main:README.md", "*", "%0a",
    ":/", "%ed%a0%80", "%f0%9f%98%80", "%01",
)  # fmt: skip
_ROUTES = [
    (method, route.pattern.replace(r"(?!api/)", ""))
    for module in (api, discussions, files, uploads, pages)
    for route in module.ROUTES
    for method in route.methods.split()
]
_STRAY = ("/{any}", "/{any}/{any}", "/api/{any}", "/static/{any}", "/datasets/local/hidden/tree/main", "//{any}")
_REVISIONS = ("main", "main", "v1", "refs%2fpr%2f1", "HEAD")
_NUMBERS = ("-1", "1" * 5000, "١", "99999999999999999999", "1e3", "", "0x10", "nan")
_VALUES = (
    None, True, -1, 1.5, 10**400, "", "x", "\x00", "\ud800", "../../etc/passwd", ["x"], [None], {}, {"a": [1]},
    "a" * 9000, [[[[]]]], {"path": "../x"}, {"oid": "../../token", "size": 1}, "é\u202e", "-x", "main\n",
    [{"partNumber": {}}],
)  # fmt: skip
_NAMES = ("README.md", "a", "a/b", "a/b/c", "../x", ".git/config", "-x", ":(top)", "x\ny", "x/", "/x", "data.parquet")
_KEYS = (
    "name", "type", "organization", "private", "visibility", "gated", "fromRepo", "toRepo", "tag", "message", "files",
    "paths", "expand", "objects", "operation", "transfers", "oid", "size", "parts", "title", "status", "comment",
    "startingPoint", "content", "repoType", "gitIgnore", "key", "value", "pullRequest", "description",
)  # fmt: skip
_RANGES = (
    "bytes=0-",
    "bytes=-1",
    "bytes=5-1",
    "bytes=" + "0-0," * 200,
    "bytes=" + "9" * 5000 + "-",
    "lines=1-2",
    "bytes=a",
)
_GIT = (
    b"0000", b"0032want " + b"0" * 40 + b"\n00000009done\n", b"ffff" * 100, b"\x1f\x8b" + b"\0" * 50,
    b"0014command=ls-refs\n0000", b"0011command=fetch0001000fno-progress0000", b"zzzz",
)  # fmt: skip


@dataclass
class Sent:
    """One request and its answer."""

    raw: bytes
    role: str
    method: str
    status: int = 0
    body: bytes = field(default=b"", repr=False)


def _json(draw: Draw) -> bytes:
    def value(depth: int) -> object:
        if depth and draw.random() < 0.3:
            return [value(depth - 1) for _ in range(draw.randrange(3))]
        if depth and draw.random() < 0.4:
            return {draw.choice(_KEYS): value(depth - 1) for _ in range(draw.randrange(4))}
        return draw.choice(_VALUES)

    whole = {draw.choice(_KEYS): value(2) for _ in range(draw.randrange(1, 5))}
    lines = [{"key": draw.choice(("header", "file", "lfsFile", "deletedFile", "deletedFolder", "x")), "value": whole}]
    if draw.random() < 0.3:  # a whole commit, with operations of any kind
        lines = [{"key": "header", "value": {"summary": draw.choice(_VALUES), "description": draw.choice(_VALUES)}}]
        for _ in range(draw.randrange(4)):
            value = {"path": draw.choice((*_NAMES, draw.choice(_VALUES))), "content": draw.choice(("eA==", *_VALUES))}
            value |= {"encoding": draw.choice(("base64", "utf-8", 1)), "oid": draw.choice(("0" * 64, *_VALUES))}
            lines.append(
                {"key": draw.choice(("file", "file", "lfsFile", "deletedFile", "deletedFolder")), "value": value}
            )
        return "\n".join(map(json.dumps, lines)).encode()
    return json.dumps(draw.choice((whole, lines[0], [whole], draw.choice(_VALUES)))).encode()


def _body(draw: Draw) -> bytes:
    match draw.randrange(8):
        case 0:
            return b""
        case 1:
            return bytes(draw.randrange(256) for _ in range(draw.randrange(200)))
        case 2:
            return draw.choice((b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe{}", b"nul", b"1" * 5000))
        case 3:
            return draw.choice(_GIT)
        case 4:
            return _json(draw) + b"\n" + _json(draw)[: draw.randrange(40)]
        case _:
            return _json(draw)


def _path(draw: Draw, pattern: str) -> str:
    """Fill the placeholders of a route, each with what it expects or with what nobody expects."""

    def fill(match: re.Match[str]) -> str:
        right = {
            "kinds": ("datasets", "datasets", "models"), "prefix": ("datasets/",), "rev": _REVISIONS, "number": ("1",),
            "repo": ("local/kept", "local/kept", "local/hidden", "local/gone"), "path": ("README.md", "a/b"),
        }.get(match[1], ())  # fmt: skip
        return draw.choice(right) if right and draw.random() < 0.7 else draw.choice(_UP)

    return re.sub(r"\{(\w+)\}", fill, pattern)


def request(draw: Draw, tokens: dict[str, str]) -> Sent:
    """Draw one request by somebody without a token, or with one of these."""
    method, pattern = draw.choice(_ROUTES) if draw.random() < 0.85 else ("GET", draw.choice(_STRAY))
    if draw.random() < 0.1:
        method = draw.choice(_METHODS)
    path = _path(draw, pattern)
    if draw.random() < 0.3:
        path += "?" + "&".join(f"{draw.choice(_OPTIONS)}={draw.choice(_NUMBERS)}" for _ in range(draw.randrange(1, 4)))
    body = _body(draw) if method not in ("GET", "HEAD") or draw.random() < 0.1 else b""
    role = draw.choice(("none", *tokens))
    headers = {"Host": draw.choice(("hub", "evil.example", "", "a b", "x:99999")), "Content-Length": str(len(body))}
    headers["Connection"] = draw.choice(("close", "Upgrade, close"))
    if role != "none":
        headers["Authorization"] = draw.choice((
            f"Bearer {tokens[role]}", f"Basic {tokens[role]}", f"bearer  {tokens[role]}",
        ))  # fmt: skip
    for name, values in {
        "Range": _RANGES, "Content-Encoding": ("gzip", "br"), "Git-Protocol": ("version=2", "version=99", "x\x7f"),
        "Accept": ("text/html", "*/*"), "Origin": ("null", "http://evil.example"), "Upgrade": ("websocket", "h2c"),
        "Content-Type": ("application/json", "application/x-www-form-urlencoded", "multipart/form-data"),
        "If-Range": ("x",), "Expect": ("100-continue",),
    }.items():  # fmt: skip
        if draw.random() < 0.2:
            headers[name] = draw.choice(values)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return Sent(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body, role, method)


def send(endpoint: str, sent: Sent, seconds: float = 20.0) -> None:
    """Send a request, and read its answer as far as it goes."""
    address = urlsplit(endpoint)
    with socket.create_connection((address.hostname, address.port), timeout=seconds) as connection:
        try:
            connection.sendall(sent.raw)
            while piece := connection.recv(1 << 16):
                sent.body += piece
                if len(sent.body) > 4_000_000:
                    break
        except OSError:  # it was cut off
            pass
    head = sent.body[:12].split()
    sent.status = int(head[1]) if len(head) > 1 and head[1].isdigit() else 0


def bombard(endpoint: str, tokens: dict[str, str], count: int, seed: int) -> list[Sent]:
    """Send so many requests, and return them with their answers."""
    draw = Draw(seed)
    found = []
    for _ in range(count):
        one = request(draw, tokens)
        send(endpoint, one)
        found.append(one)
    return found


def statuses(found: list[Sent]) -> Counter[int]:
    return Counter(one.status for one in found)
