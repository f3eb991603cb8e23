"""EvalPlus' own way of asking, read from the installed package `evalplus` (extra `eval`).

Only `evalplus.provider.utility` and `evalplus.provider.base` are imported, which import nothing heavy and nothing that
uses a network. The texts that EvalPlus keeps inside functions of other modules, which would import clients of several
services, are read from the source of these modules without importing them.
"""

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from plum_hub.errors import MissingExtraError, UsageError

_DATASETS = ("humaneval", "mbpp")


@dataclass(frozen=True)
class EvalPlusRules:
    """What EvalPlus asks a model, by the installed version."""

    version: str
    """Version of the package, as in `0.3.1`."""
    instruction: str
    """What precedes the problem in the user's turn."""
    response: str
    """What the assistant's turn begins with, before the code."""
    system: str
    """The system turn of conversations with a server."""
    server_form: tuple[str, str]
    """What surrounds the problem in a conversation with a server, after `instruction`."""
    stop: tuple[str, ...]
    """Stop strings of every local model."""
    fence_stop: tuple[str, ...]
    """Further stop strings of a model with a chat template: the end of the code block that its answer begins with."""
    completion_stop: Mapping[str, tuple[str, ...]]
    """Further stop strings of a base model, by family of benchmarks."""
    max_tokens: int
    """Most new tokens of an answer."""

    @property
    def words(self) -> tuple[object, ...]:
        """All the words that surround a problem, as JSON values for a digest."""
        return (self.instruction, self.response, self.system, self.server_form, self.prefilled(""))

    def prefilled(self, task: str) -> list[dict[str, str]]:
        """Put a problem to a local model with a chat template.

        Args:
            task: The problem, as EvalPlus' data set has it.

        Returns:
            The user's turn, and the beginning of the assistant's turn up to the code, without the last line break.
        """
        from evalplus.provider.utility import make_raw_chat_prompt

        turns = _TurnsOnly()
        begun = make_raw_chat_prompt(task, self.instruction, self.response, turns)
        return [turns.user, {"role": "assistant", "content": begun.removesuffix("\n")}]

    def chat(self, task: str) -> list[dict[str, str]]:
        """Put a problem to a server.

        Args:
            task: The problem, as EvalPlus' data set has it.

        Returns:
            The system turn and the user's turn.
        """
        before, after = self.server_form
        content = f"{self.instruction}{before}{task.strip()}{after}"
        return [{"role": "system", "content": self.system}, {"role": "user", "content": content}]


class _TurnsOnly:
    """Stands for a tokenizer where EvalPlus applies its chat template, and keeps the turns as they are."""

    chat_template = ""
    user: dict[str, str]

    def apply_chat_template(self, turns: list[dict[str, str]], **_: Any) -> str:
        self.user, answer = turns
        return answer["content"]


def evalplus_installed() -> bool:
    """Return whether the package is installed; nothing of it is imported."""
    return find_spec("evalplus") is not None


@cache
def evalplus_rules() -> EvalPlusRules:
    """Read the rules from the installed package.

    Returns:
        The rules.

    Raises:
        MissingExtraError: The package is not installed.
        UsageError: This version keeps its texts elsewhere.
    """
    spec = find_spec("evalplus")
    if spec is None or spec.origin is None:
        raise MissingExtraError("the protocol of EvalPlus", "eval")
    package = Path(spec.origin).parent
    try:
        from evalplus.provider.base import DecoderBase
        from evalplus.provider.utility import EOS, extra_eos_for_direct_completion

        codegen, server = package / "codegen.py", package / "provider" / "openai.py"
        return EvalPlusRules(
            version=version("evalplus"),
            instruction=_text(codegen, "run_codegen", "instruction_prefix"),
            response=_text(codegen, "run_codegen", "response_prefix"),
            system=_text(package / "gen" / "util" / "openai_request.py", "make_request", "system_msg"),
            server_form=_server_form(server),
            stop=tuple(EOS),
            fence_stop=_fence_stop(package / "provider" / "vllm.py"),
            completion_stop={name: tuple(extra_eos_for_direct_completion(name)) for name in _DATASETS},
            max_tokens=int(inspect.signature(DecoderBase.__init__).parameters["max_new_tokens"].default),
        )
    except (ImportError, OSError, SyntaxError, LookupError, TypeError, ValueError) as error:
        raise UsageError(
            f"{package}: this version of evalplus keeps its prompts elsewhere ({type(error).__name__}: {error}): take "
            "the one that plum-hub reads, with  pip install evalplus==0.3.1  , or use  --protocol plum"
        ) from error


def _assigned(path: Path, function: str, name: str) -> Iterator[ast.expr]:
    """Yield what a function of a module assigns to a name, first to last."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            for one in node.body:
                if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name) and one.targets[0].id == name:
                    yield one.value


def _text(path: Path, function: str, name: str) -> str:
    """Return the text that a function assigns to a name unconditionally."""
    (node,) = _assigned(path, function, name)
    text = ast.literal_eval(node)
    if not isinstance(text, str):
        raise TypeError(f"{name} in {path.name} is no text")
    return text


def _server_form(path: Path) -> tuple[str, str]:
    """Return what surrounds the problem in `message = self.instruction_prefix + f"...{prompt.strip()}..."`."""
    (node,) = _assigned(path, "codegen", "message")
    if not (isinstance(node, ast.BinOp) and isinstance(node.right, ast.JoinedStr)):
        raise TypeError(f"message in {path.name} is put together in another way")
    before, task, after = node.right.values
    if ast.unparse(node.left) != "self.instruction_prefix" or not isinstance(task, ast.FormattedValue):
        raise TypeError(f"message in {path.name} is put together in another way")
    return str(ast.literal_eval(before)), str(ast.literal_eval(after))


def _fence_stop(path: Path) -> tuple[str, ...]:
    """Return the stop strings that a decoder adds for a model with a chat template: `self.eos += ["..."]`."""
    (stop,) = (
        ast.literal_eval(node.value)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.AugAssign)
        and ast.unparse(node.target) == "self.eos"
        and isinstance(node.value, ast.List)
    )
    return tuple(map(str, stop))
