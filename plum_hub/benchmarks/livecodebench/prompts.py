"""LiveCodeBench's problems as LiveCodeBench puts them to a model of some family.

    chat   a system's line, and the question with the form of the answer        (its default for chat models)
    qwen   what CodeQwen and Qwen2.5-Coder get, to be put into their template
    base   one question with its answer, and the question, for a model that continues text. The first question is ours,
           so scores of base models are close to, but not those of LiveCodeBench's own

To the letter, but for empty lines at the end of six questions.
"""

from typing import Literal

from plum_hub.benchmarks.base import Problem
from plum_hub.engines.base import Prompt
from plum_hub.prompts import prompt_digest, render

Family = Literal["chat", "qwen", "base"]

_SYSTEM = "livecodebench_system"
_STARTS = {"chat": "livecodebench", "qwen": "livecodebench_qwen", "base": "livecodebench_base"}
_QWEN_SYSTEM = "You are a helpful assistant."


def build_prompt(problem: Problem, family: Family) -> Prompt:
    """What the model is given: messages, or for `base` a text."""
    values = {"starter_code": problem.starter_code} if problem.starter_code else {}
    text = render(_template(problem, family), question=problem.text, **values)
    if family == "base":
        return text
    system = render(_SYSTEM).strip() if family == "chat" else _QWEN_SYSTEM
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


def prompt_digests(problem: Problem, family: Family) -> tuple[str, ...]:
    """Of the prompts that `build_prompt` is made of."""
    own = prompt_digest(_template(problem, family))
    return (prompt_digest(_SYSTEM), own) if family == "chat" else (own,)


def fenced_code(answer: str) -> str:
    """The program in an answer as LiveCodeBench finds it: what lies between the last two lines with a fence; "" where
    there are no two."""
    lines = answer.split("\n")
    fences = [number for number, line in enumerate(lines) if "```" in line]
    return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) > 1 else ""


def _template(problem: Problem, family: Family) -> str:
    return f"{_STARTS[family]}_{'function' if problem.starter_code else 'stdin'}"
