"""A proxy that fails on demand, before a loopback server: the server never sees a request that a fault befalls.

`faults` is a list of (path, fault); each befalls the next request whose method and path end so, once. A fault is a
status with headers, or one of `reset` (no answer), `reset_body` and `truncated` (half an answer), `drip` (an answer
that never ends), `garbage` (a page of HTML). With others the server answers, and the answer does not arrive: `lost`
with a reset, `held` in silence, `short` without its last line.
"""

import http.client
import json
import socket
import struct
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = str | tuple[int, dict[str, str]]
CHAT = "/chat/completions"
_HALF = b'{"id": "x", "object": "chat.completion", "choices": [{"index": 0, "mess'


class FaultProxy:
    """Start with `with FaultProxy(server.url) as proxy`; `url` is its address without a path."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream.removeprefix("http://")
        self.faults: list[tuple[str, Fault]] = []
        self.down: Fault | None = None
        """A fault for every request of the path `CHAT`, once the others are used up."""
        self.passes = 0
        """So many requests of the path `CHAT` pass before `down` begins."""
        self.met: list[Fault] = []
        self.stopped, self.holding = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def fault_for(self, path: str) -> Fault | None:
        with self._lock:
            for number, (end, fault) in enumerate(self.faults):
                if path.endswith(end):
                    del self.faults[number]
                    self.met.append(fault)
                    return fault
            if self.down is None or not path.endswith(CHAT):
                return None
            self.passes -= 1
            return self.down if self.passes < 0 else None

    def __enter__(self) -> "FaultProxy":
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._http.shutdown()
        self._http.server_close()


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with suppress(ConnectionError, OSError):
                super().handle()

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._pass_on(None)

        def do_POST(self) -> None:
            self._pass_on(self._whole_body())

        def _pass_on(self, body: bytes | None) -> None:
            fault = proxy.fault_for(f"{self.command} {self.path.partition('?')[0]}")
            if fault is not None and fault not in ("lost", "held", "short"):
                self._fail(fault)
                return
            status, kind, data = self._upstream(body)
            if fault == "held":
                proxy.holding.set()
                proxy.stopped.wait()
            if fault in ("lost", "held"):
                self._reset()
            elif fault == "short":
                self._send(status, {"content-type": kind}, b"".join(data.splitlines(keepends=True)[:-1]))
            else:
                self._send(status, {"content-type": kind}, data)

        def _upstream(self, body: bytes | None) -> tuple[int, str, bytes]:
            headers = {name: self.headers[name] for name in ("content-type", "authorization") if name in self.headers}
            connection = http.client.HTTPConnection(proxy.upstream, timeout=60)
            try:
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.headers["content-type"], answer.read()
            finally:
                connection.close()

        def _fail(self, fault: Fault) -> None:
            if isinstance(fault, tuple):
                self._send(fault[0], fault[1], json.dumps({"error": {"message": "on demand"}}).encode())
            elif fault == "truncated":
                self._send(200, {"content-type": "application/json"}, _HALF)
            elif fault == "garbage":
                self._send(200, {"content-type": "text/html"}, b"<html>down for maintenance</html>")
            elif fault == "reset_body":
                self._send(200, {"content-type": "application/json"}, _HALF, missing=1000)
                self._reset()
            elif fault == "drip":
                self._send(200, {"content-type": "application/json"}, b"", missing=1_000_000)
                while not proxy.stopped.wait(0.02):
                    self.wfile.write(b" ")
            else:
                self._reset()

        def _reset(self) -> None:
            self.close_connection = True
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

        def _send(self, status: int, headers: dict[str, str], data: bytes, missing: int = 0) -> None:
            self.send_response(status)
            for name, value in {"content-length": str(len(data) + missing), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def _whole_body(self) -> bytes:
            if "content-length" in self.headers:
                return self.rfile.read(int(self.headers["content-length"]))
            pieces: list[Any] = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)

    return Handler
