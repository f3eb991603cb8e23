"""One replica of `replicas.py`: a vLLM engine that takes requests on standard input and answers on standard output.

python -m plum_hub.engines.replica PARENT
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from plum_hub.engines.base import Engine, Request, Sampling
from plum_hub.engines.vllm import VllmConfig, VllmEngine
from plum_hub.errors import PlumError


class _BrokenOffError(Exception):
    """The parent no longer wants the answers."""


def main() -> None:
    """Serve the parent until it closes the pipe, or is gone."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def send(message: object) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    first = json.loads(sys.stdin.readline())
    if first["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, first["cores"])
    inbox: SimpleQueue[Any] = SimpleQueue()
    halt = Event()
    Thread(target=_read, args=(inbox, halt), daemon=True).start()
    try:
        with VllmEngine(VllmConfig.model_validate(first["config"])) as engine:
            send({"ready": engine.has_chat_template, "identity": asdict(engine.identity)})
            while (message := inbox.get()) is not None:
                halt.clear()
                _answer(engine, [_request(one) for one in message["requests"]], send, halt)
                send({"done": True})
    except PlumError as error:
        send({"error": str(error)})


def _answer(engine: Engine, requests: list[Request], send: Callable[[object], None], halt: Event) -> None:
    def told(tokens: int) -> None:
        if halt.is_set():
            raise _BrokenOffError
        send({"tokens": tokens})

    engine.on_tokens = told
    try:
        for completion in engine.generate(requests):
            send({"completion": asdict(completion)})
    except _BrokenOffError:
        return


def _read(inbox: "SimpleQueue[Any]", halt: Event) -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if message == "stop":
            halt.set()
        else:
            inbox.put(message)
    halt.set()
    inbox.put(None)


def _end_with(parent: int) -> None:
    """Kill this process and all that it started when its parent is gone, however that ended."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


def _request(row: dict[str, Any]) -> Request:
    sampling = row["sampling"]
    return Request(**row | {"sampling": Sampling(**sampling | {"stop": tuple(sampling["stop"])})})


if __name__ == "__main__":
    main()
