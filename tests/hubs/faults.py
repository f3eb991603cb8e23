"""A proxy before a Hub on which one request goes wrong, and a client whose attempts can be killed."""

import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

STATUSES = ("412", "429", "500")
FAULTS = (*STATUSES, "reset", "timeout", "lost", "kill")
"""`lost` is an answer that is lost after the Hub has carried the request out. With the others it has not heard of it;
`kill` ends the client."""
SILENCE, PATIENCE = 8, 4
"""Seconds that a Hub says nothing for in a `timeout`, and after which a client gives it up."""
_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


class Proxy(ThreadingHTTPServer):
    """Forwards everything to a Hub, but for one request."""

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = urlsplit(endpoint).netloc
        self.seen: list[str] = []
        self.fault, self.at = "", 0
        self.victim = 0
        self.known = threading.Event()
        self.before: Callable[[str], None] = lambda _: None
        """Called with each request before it is carried out."""
        self.alter: Callable[[str, bytes], bytes] = lambda _, content: content
        """Gives what is answered to a request in place of the Hub's answer."""
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        """Its own address."""
        return f"http://127.0.0.1:{self.server_port}"

    def arm(self, fault: str, at: int) -> None:
        """Begin to count anew: the `at`th request goes wrong; none, if it is 0."""
        self.seen.clear()
        self.fault, self.at = fault, at
        self.known.clear()

    def begin(self, victim: int) -> None:
        """Say whose requests come now."""
        self.victim = victim
        self.known.set()

    def strikes(self, request: str) -> bool:
        """Count a request."""
        with self._lock:
            self.seen.append(request)
            return len(self.seen) == self.at

    def handle_error(self, *_: Any) -> None:
        """A client that has gone is what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        self.server.before(f"{self.command} {self.path}")
        fault = self.server.fault if self.server.strikes(f"{self.command} {self.path}") else ""
        body = self._body()
        if fault in STATUSES:
            self._reply(int(fault), {"X-Error-Message": "a fault"}, b"{}")
        elif fault == "timeout":
            time.sleep(SILENCE)
            self._drop()
        elif fault == "kill":
            self.server.known.wait()
            os.kill(self.server.victim, signal.SIGKILL)
            self._drop()
        elif fault == "reset":
            self._drop()
        else:
            self._forward(body, lost=fault == "lost")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _forward(self, body: bytes, *, lost: bool) -> None:
        hub = HTTPConnection(self.server.hub, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            hub.request(self.command, self.path, body, headers)
            answer = hub.getresponse()
            content = self.server.alter(f"{self.command} {self.path}", answer.read())
            if lost:
                self._drop()
            else:
                self._reply(answer.status, dict(answer.getheaders()), content)
        finally:
            hub.close()

    def _reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
        length = headers.get("content-length", len(content)) if self.command == "HEAD" else len(content)
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _drop(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


def attempts() -> None:
    """Publish for each line on stdin, in a fork that has imported the library already.

    Prints the fork's process id, and then the result, or that it was killed.
    """
    from plum_hub.errors import HubError
    from plum_hub.hubs import hub_worker
    from plum_hub.hubs.client import Action, PublishRequest
    from plum_hub.patience import set_patience

    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            print(os.getpid(), flush=True)
            set_patience(float(os.environ["PATIENCE"]))
            given = json.loads(line)
            request = PublishRequest(**given | {"folder": Path(given["folder"])})
            for method, arguments in (("whoami", ()), ("tags", ()), ("publish", (request,))):
                found = hub_worker.carry_out(Action(method, arguments, request.repo, embedded=True))
                if isinstance(found, HubError):
                    break
            answer = {"error": str(found)} if isinstance(found, HubError) else {"result": asdict(found)}
            print(json.dumps(answer), flush=True)
            os._exit(0)
        if os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
            print(json.dumps({"error": "killed"}), flush=True)
