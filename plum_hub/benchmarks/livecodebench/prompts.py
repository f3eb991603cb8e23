"""Build LiveCodeBench's own prompts for a family of models.

- `chat`: a system message, and the question with the format of the answer; LiveCodeBench's default for chat models.
- `qwen`: the prompt of CodeQwen and Qwen2.5-Coder, for use in their chat template.
- `base`: a question with its answer, then the question, for a model that continues text. The example differs from
LiveCodeBench's, so that scores of base models are close to LiveCodeBench's own, but not equal.

The texts are verbatim, except for empty lines at the end of six questions.
"""

from typing import Literal

from plum_hub.benchmarks.base import Problem
from plum_hub.engines.base import Prompt
from plum_hub.prompts import prompt_digest, render

Family = Literal["chat", "qwen", "base"]
"""A family of models with a common prompt."""

_SYSTEM = "livecodebench_system"
_STARTS = {"chat": "livecodebench", "qwen": "livecodebench_qwen", "base": "livecodebench_base"}
_QWEN_SYSTEM = "You are a helpful assistant."


def build_prompt(problem: Problem, family: Family) -> Prompt:
    """Build the prompt of a problem.

    Args:
        problem: The problem.
        family: The family of the model.

    Returns:
        Messages, or plain text for `base`.
    """
    values = {"starter_code": problem.starter_code} if problem.starter_code else {}
    text = render(_template(problem, family), question=problem.text, **values)
    if family == "base":
        return text
    system = render(_SYSTEM).strip() if family == "chat" else _QWEN_SYSTEM
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


def prompt_digests(problem: Problem, family: Family) -> tuple[str, ...]:
    """Compute the digests of the templates that `build_prompt` uses.

    Args:
        problem: The problem.
        family: The family of the model.

    Returns:
        One digest per template.
    """
    own = prompt_digest(_template(problem, family))
    return (prompt_digest(_SYSTEM), own) if family == "chat" else (own,)


def fenced_code(answer: str) -> str:
    """Extract the program from an answer as LiveCodeBench does.

    Args:
        answer: The model's answer.

    Returns:
        The text between the last two lines with a fence; "" if there are fewer.
    """
    lines = answer.split("\n")
    fences = [number for number, line in enumerate(lines) if "```" in line]
    return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) > 1 else ""


def _template(problem: Problem, family: Family) -> str:
    return f"{_STARTS[family]}_{'function' if problem.starter_code else 'stdin'}"
