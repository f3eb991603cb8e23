"""Render conversations with a model's chat template, which may reject them.

Gemma's template accepts no system turn, Mistral's and Llama 2's want user and assistant to alternate. A template is a
program that came with the model: it runs in a process of its own, with limits (`template_worker.py`).
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from plum_hub.errors import EngineError

_WORKER = str(Path(__file__).with_name("template_worker.py"))


class TemplateRefusalError(ValueError):
    """The template raised. The message is the template's own, in one line."""


class BrokenTemplateError(TemplateRefusalError):
    """The model has no template that could be used for any conversation. The message says why, in one line."""


def render(tokenizer: Any, turns: list[dict[str, str]], **more: Any) -> str:
    """Render a conversation as text.

    Args:
        tokenizer: A transformers tokenizer with a chat template.
        turns: Turns with `role` and `content`.
        more: Further arguments of `apply_chat_template`, such as `add_generation_prompt` and `tools`.

    Returns:
        The text.

    Raises:
        BrokenTemplateError: The template is not Jinja, or there are several and none is the default.
        TemplateRefusalError: The template rejects the conversation, or exceeds its limits.
    """
    template = _template(tokenizer, more.get("tools"))
    if template is None:
        return _rendered_by(tokenizer, turns, more)
    values = {**_special_tokens(tokenizer), "tools": None, "documents": None, "add_generation_prompt": False, **more}
    answer = _worker(template).ask({**values, "messages": turns})
    if "broken" in answer:
        raise BrokenTemplateError(answer["broken"])
    if "error" in answer:
        raise TemplateRefusalError(answer["error"])
    return answer["text"]


def _template(tokenizer: Any, tools: Any) -> str | None:
    """Return the Jinja source; None for a tokenizer that renders by code of its library instead."""
    from transformers import PreTrainedTokenizerBase

    method = getattr(type(tokenizer), "apply_chat_template", None)
    if method is not PreTrainedTokenizerBase.apply_chat_template:
        return None
    try:
        return str(tokenizer.get_chat_template(None, tools))
    except ValueError as error:
        names = ", ".join(sorted(tokenizer.chat_template)) if isinstance(tokenizer.chat_template, dict) else "none"
        raise BrokenTemplateError(f"there are several, {names}, and none is named default") from error


def _special_tokens(tokenizer: Any) -> dict[str, Any]:
    found = tokenizer.special_tokens_map
    return {name: [str(one) for one in it] if isinstance(it, list) else str(it) for name, it in found.items()}


def _rendered_by(tokenizer: Any, turns: list[dict[str, str]], more: dict[str, Any]) -> str:
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, **more))
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise TemplateRefusalError(said) from error


class _TemplateWorker:
    """A process with one template. It ends with its stdin, and so with this process."""

    def __init__(self, template: str) -> None:
        self._first = f"{json.dumps(template)}\n".encode()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def ask(self, values: dict[str, Any]) -> dict[str, str]:
        """Render, in a fresh process if the last one came to its limit or was killed by somebody else."""
        line = f"{json.dumps(values)}\n".encode()
        with self._lock:
            ended = 0
            for _ in range(2):
                said = self._said(line)
                if said.endswith(b"\n"):
                    answer: dict[str, str] = json.loads(said)
                    return answer
                ended = self._ended()
                if ended == -signal.SIGPROF:
                    return {"error": "it takes too long for a conversation"}
            return {"error": f"the process that renders it ended twice, with {ended}"}

    def _said(self, line: bytes) -> bytes:
        """Return the answer to a line; it is not whole if the process ended."""
        if self._process is None or self._owner != os.getpid():  # a fork has no part in its parent's pipes
            self._owner = os.getpid()
            self._process = subprocess.Popen(
                [sys.executable, "-I", _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            line = self._first + line
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(BrokenPipeError):
            stdin.write(line)
            stdin.flush()
        return stdout.readline()

    def _ended(self) -> int:
        """Reap a process that ended, and return its exit status; negative for a signal."""
        process = self._process
        assert process is not None
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
        self.close()
        return process.returncode

    def close(self) -> None:
        """End the process."""
        if (process := self._process) is not None and self._owner == os.getpid():
            self._process = None
            process.kill()
            process.wait()
            for pipe in filter(None, (process.stdin, process.stdout)):
                with suppress(OSError):
                    pipe.close()


_WORKERS: dict[str, _TemplateWorker] = {}
_WORKERS_LOCK = threading.Lock()


def _worker(template: str) -> _TemplateWorker:
    with _WORKERS_LOCK:
        if template not in _WORKERS:
            _WORKERS[template] = _TemplateWorker(template)
        return _WORKERS[template]


@atexit.register
def _end() -> None:
    for worker in _WORKERS.values():
        worker.close()


def asked(tokenizer: Any, turns: list[dict[str, str]]) -> str:
    """Render a conversation that the model is to answer.

    Args:
        tokenizer: A transformers tokenizer with a chat template.
        turns: Turns with `role` and `content`.

    Returns:
        The text, with the beginning of the assistant's turn.

    Raises:
        EngineError: The template rejects the conversation, or cannot be used at all.
    """
    try:
        text = render(tokenizer, turns, add_generation_prompt=True)
        if not text.strip():
            raise BrokenTemplateError("it makes an empty text of a conversation")
    except BrokenTemplateError as error:
        raise EngineError(
            f"the model's chat template cannot be used ({error}): fix its chat_template.jinja or "
            "tokenizer_config.json, or name another model, with --model or --generator"
        ) from error
    except TemplateRefusalError as error:
        roles = ", ".join(turn["role"] for turn in turns)
        raise EngineError(
            f"the model's chat template refuses a conversation of {roles} ({error}): name a model whose template takes "
            "it, with --model or --generator"
        ) from error
    return text
