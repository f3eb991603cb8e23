"""A loopback server that speaks enough of `/v1` and of TGI for the real clients, and that can fail on demand.

It answers with words drawn from the prompt and the seed, so that equal requests get equal answers. `faults` says what
befalls the next generations, one entry each: a status code, `disconnect`, `hang`, or None for a good answer. With a
folder it has batches, too (`tests/engines/batches.py`).
"""

import json
import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from plum_hub.engines.base import Engine, Request, Sampling
from tests.engines.batches import BatchStore

CONTEXT = 200  # words
GENERATIONS = ("/v1/chat/completions", "/v1/completions", "/generate")


class LoopbackServer:
    """Start with `with LoopbackServer() as server`; `url` is its address without a path."""

    def __init__(self, key: str | None = None, folder: Path | None = None, script: Engine | None = None) -> None:
        self.key, self.wrong_key = key, "wrong key"
        self.script = script
        """What writes the answers of `/v1`; words drawn from the prompt by default."""
        self.cached_share = 0.0
        """Share of each prompt that was in the cache, says `/v1`."""
        self.batches = None if folder is None else BatchStore(folder, self.answer_once)
        self.schemas: Literal["held", "refused", "ignored"] = "held"
        """What becomes of `response_format`. Only small schemas are held, of booleans and choices."""
        self.faults: deque[int | str | None] = deque()
        self.always: int | str | None = None
        """Once the faults are used up: this for every generation."""
        self.models: tuple[int, Any] = (200, {"object": "list", "data": [{"id": "tiny", "object": "model"}]})
        """The answer to a question for the list of models; it answers as `tiny` only, whatever it lists."""
        self.unknown: dict[str, tuple[int, Any]] = {}
        """Parameters that `/v1` refuses, and how."""
        self.taken: list[dict[str, Any]] = []
        """The bodies that it did not refuse therefore."""
        self.written: Callable[[Any], Any] = lambda answer: answer
        """How a single answer is written; as JSON by default."""
        self.pages: dict[str, int] = {}
        """Pages that answer with this status only,"""
        self.words = True
        """and whether they say anything."""
        self.moved = False
        """Whether requests below `/old` and `/circle` are redirected."""
        self.finish_reason: object = "as it ended"
        """What every answer of `/v1` says of its end."""
        self.chat_template = True
        """Whether TGI serves a chat model."""
        self.hanging, self.stopped = threading.Event(), threading.Event()
        self.received: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> "LoopbackServer":
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def answer_once(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """A good answer, counted."""
        with self.lock:
            self.received[json.dumps(body, sort_keys=True)] += 1
            return self.answer(path, body)

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, answer = _answer(self, path, body)
        if status != 404:
            self.answered[json.dumps(body, sort_keys=True)] += 1
        return status, answer

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._http.shutdown()
        self._http.server_close()


def _handler(server: LoopbackServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with suppress(ConnectionError):  # a client that was interrupted
                super().handle()

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if not self._allowed() or self._elsewhere():
                return
            if self.path == "/v1/models":
                self._send(*server.models)
            elif server.batches is not None and self.path.startswith(("/v1/batches", "/v1/files")):
                self._send(*server.batches.get(self.path))
            elif self.path == "/info":
                self._send(200, {"model_id": "org/tiny", "model_sha": "f" * 40, "version": "3.3.7"})
            else:
                self._send(404, {"error": {"message": "no such page"}})

        def do_POST(self) -> None:
            data = self._whole_body()
            if not self._allowed() or self._elsewhere():
                return
            if server.batches is not None and self.path == "/v1/files":
                self._send(*server.batches.upload(_form_file(self.headers["content-type"], data)))
                return
            body = json.loads(data)
            if server.batches is not None and self.path == "/v1/batches":
                self._send(*server.batches.create(body))
                return
            if self.path == "/chat_tokenize" and server.chat_template:
                text = _templated(body["messages"])
                self._send(200, {"tokenize_response": text.split(), "templated_text": text})
            elif self.path == "/tokenize":
                self._send(200, body["inputs"].split())
            elif self.path in GENERATIONS:
                self._generation(body)
            else:
                self._send(404, {"error": {"message": "no such page"}})

        def _generation(self, body: dict[str, Any]) -> None:
            asked = json.dumps(body, sort_keys=True)
            with server.lock:
                server.received[asked] += 1
                fault = server.faults.popleft() if server.faults else server.always
            if fault == "hang":
                server.hanging.set()
                server.stopped.wait()
            if fault in ("disconnect", "hang"):
                self.close_connection = True
                self.connection.close()
            elif fault is not None:
                self._send(int(fault), {"error": {"message": "on demand"}}, {"retry-after": "0"})
            else:
                with server.lock:
                    status, answer = server.answer(self.path, body)
                self._send(status, server.written(answer))

        def _whole_body(self) -> bytes:
            if "content-length" in self.headers:
                return self.rfile.read(int(self.headers["content-length"]))
            pieces = []
            while size := int(self.rfile.readline(), 16):  # an upload comes in chunks
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)

        def _allowed(self) -> bool:
            if server.key is None or self.headers.get("authorization") == f"Bearer {server.key}":
                return True
            self._send(401, {"error": {"message": server.wrong_key}})
            return False

        def _elsewhere(self) -> bool:
            status = server.pages.get(self.path)
            if status is not None:
                self._send(status, {"error": {"message": "on demand"}} if server.words else b"")
            elif server.moved and self.path.startswith("/circle/") and self.command == "POST":
                self._send(307, b"", {"location": self.path})
            elif server.moved and self.path.startswith(("/old/", "/circle/")):
                self._send(301, b"", {"location": "/v1" + self.path.partition("/v1")[2]})
            else:
                return False
            return True

        def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {
                "content-type": "application/json",
                "content-length": str(len(data)),
                **(headers or {}),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _form_file(content_type: str, data: bytes) -> bytes:
    """The file of a form."""
    message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + data)
    parts: Iterable[Any] = message.get_payload()
    return next(bytes(part.get_payload(decode=True)) for part in parts if part.get_filename())


def _scripted(script: Engine, body: dict[str, Any]) -> tuple[str, int, str]:
    limit = body.get("max_tokens") or body["max_completion_tokens"]
    sampling = Sampling(temperature=body["temperature"], top_p=1, max_tokens=limit, stop=tuple(body.get("stop") or ()))
    prompt = body["messages"] if "messages" in body else body["prompt"]
    (one,) = script.generate([Request(id="x", prompt=prompt, seed=body["seed"], sampling=sampling)])
    return one.text, one.completion_tokens, one.finish_reason


def _answer(server: LoopbackServer, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    if path == "/generate":
        return _tgi(body)
    prompt = _templated(body["messages"]) if "messages" in body else body["prompt"]
    if body["model"] != "tiny":
        return 404, {"error": {"message": f"The model `{body['model']}` does not exist.", "code": "model_not_found"}}
    if len(prompt.split()) > CONTEXT and server.script is None:
        message = f"This model's maximum context length is {CONTEXT} tokens."
        return 400, {"error": {"message": message, "code": "context_length_exceeded"}}
    if refusal := next((server.unknown[name] for name in body if name in server.unknown), None):
        return refusal
    server.taken.append(body)
    limit = body.get("max_tokens") or body["max_completion_tokens"]
    form = body.get("response_format")
    if form is not None and server.schemas == "refused":
        return 400, {"error": {"message": "response_format is not supported", "code": None}}
    held = None if form is None else _instance(form["json_schema"]["schema"], body["seed"])
    if held is not None and server.schemas == "held":
        text, words, reason = json.dumps(held), 3, "eos_token"
    elif server.script is not None and held is None:
        text, words, reason = _scripted(server.script, body)
    else:
        text, words, reason = _words(
            prompt, body.get("temperature", 1), body.get("seed", 0), limit, body.get("stop", [])
        )
    choice = {"index": 0, "finish_reason": "length" if reason == "length" else "stop"}
    if server.finish_reason != "as it ended":
        choice["finish_reason"] = server.finish_reason
    choice |= {"message": {"role": "assistant", "content": text}} if "messages" in body else {"text": text}
    usage: dict[str, Any] = {"prompt_tokens": len(prompt.split()), "completion_tokens": words, "total_tokens": 0}
    if server.cached_share:
        usage["prompt_tokens_details"] = {"cached_tokens": int(len(prompt.split()) * server.cached_share)}
    answer = {"id": "x", "object": "chat.completion", "created": 0, "model": "tiny-2026-11-01"}
    return 200, {**answer, "choices": [choice], "usage": usage}


def _instance(schema: dict[str, Any], seed: int) -> dict[str, Any] | None:
    """An object by a small schema; None for another schema."""
    if not all("enum" in one or one["type"] == "boolean" for one in schema["properties"].values()):
        return None
    draw = random.Random(seed)
    return {name: draw.choice(one.get("enum", [False, True])) for name, one in schema["properties"].items()}


def _tgi(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    parameters = body["parameters"]
    temperature = parameters.get("temperature", 0.0)
    if parameters["do_sample"] and temperature <= 0:
        return 422, {
            "error": "Input validation error: `temperature` must be strictly positive",
            "error_type": "validation",
        }
    length = len(body["inputs"].split())
    if length > CONTEXT:
        reason = f"Input validation error: `inputs` must have less than {CONTEXT} tokens. Given: {length}"
        return 422, {"error": reason, "error_type": "validation"}
    limit, stops = parameters["max_new_tokens"], parameters["stop"]
    text, words, reason = _words(body["inputs"], temperature, parameters["seed"], limit, stops)
    if reason == "stop_sequence":  # TGI leaves the stop string in the text
        text += stops[0]
    return 200, {"generated_text": text, "details": {"finish_reason": reason, "generated_tokens": words}}


def _all_words(prompt: str, seed: int) -> list[str]:
    draw = random.Random(f"{prompt} {seed}")
    return [f"w{draw.randrange(1000)}" for _ in range(40)]


def _words(prompt: str, temperature: float, seed: int, limit: int, stops: list[str]) -> tuple[str, int, str]:
    """Forty words at most, with the reason why they end."""
    words = _all_words(prompt, seed if temperature else 0)
    reason = "eos_token" if len(words) <= limit else "length"
    words = words[:limit]
    text = " ".join(words)
    for stop in stops:
        if stop in text:
            text, reason = text[: text.index(stop)], "stop_sequence"
    return text, len(words), reason


def _templated(messages: list[dict[str, str]]) -> str:
    return " ".join(f"<{message['role']}> {message['content']}" for message in messages)
