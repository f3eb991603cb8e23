"""How the problems of a benchmark are put to a model, and where in its answer the program is.

The prompt styles are those of EvalPlus and LiveCodeBench for the families of models:

    chat         a chat model gets the problem as a user message     (EvalPlus on servers, LiveCodeBench)
    prefilled    the same, and the first lines of the answer are given, up to the code
                                                                     (EvalPlus on local models)
    completion   a base model continues the code, up to a stop string    (both)
    given        programs read from a file, as they are
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from plum_hub.answers.code import extract_code
from plum_hub.answers.entry import missing_helpers, needed_code
from plum_hub.benchmarks.base import Problem
from plum_hub.benchmarks.livecodebench import prompts as contest
from plum_hub.benchmarks.setup import prepend_setup
from plum_hub.engines.base import Prompt, Sampling
from plum_hub.prompts import conversation, prompt_digest, render
from plum_hub.records import digest

PromptStyle = Literal["chat", "prefilled", "completion", "given"]
"""The prompt styles described in this module."""

_FENCE = "```python\n"
_ENDS = ("\nif __name__", "\ndef main(", "\nprint(", "<|endoftext|>", "<|endofmask|>", "</s>")
"""Where the solution ends and its use begins, or where a model without an end token starts the next document."""
_COMPLETION_ENDS = {
    "humaneval": (*_ENDS, "\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert "),
    "mbpp": (*_ENDS, '\n"""', "\nassert"),
    "livecodebench": ("###",),
}
_MAX_TOKENS = {"humaneval": 768, "mbpp": 768, "livecodebench": 2000}


class Protocol(BaseModel):
    """How a model is sampled on every benchmark of an evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = Field(default=1, ge=1)
    """Samples of each problem."""
    temperature: float = Field(default=0.0, ge=0, le=10, allow_inf_nan=False)
    """Sampling temperature; 0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus sampling: the share of probability that tokens are drawn from."""
    max_tokens: int | None = Field(default=None, ge=16)
    """Most tokens of an answer; EvalPlus' 768 and LiveCodeBench's 2,000 if not set."""
    seed: int = 0
    """Sampling seed; each request's own seed is derived from it."""
    prompt: PromptStyle = "chat"
    """Prompt style."""
    contest_family: Literal["chat", "qwen"] = "chat"
    """Which of LiveCodeBench's prompts for chat models is used."""
    examples: Literal["removed", "kept"] = "removed"
    """Whether code that tries the solution out, which models add, is removed, as EvalPlus does. LiveCodeBench's
    programs always keep it."""


GIVEN = Protocol(prompt="given", examples="kept")
"""The protocol of generations read from a file."""


def family(benchmark: str) -> str:
    """Return the family of a benchmark, which decides its prompts and stop strings.

    Args:
        benchmark: Name of the benchmark.

    Returns:
        `humaneval`, `mbpp` or `livecodebench`.
    """
    return next(name for name in _MAX_TOKENS if benchmark.startswith(name))


def extraction(benchmark: str, protocol: Protocol) -> str:
    """Describe how programs are found in answers, for the record of a score.

    Args:
        benchmark: Name of the benchmark.
        protocol: The protocol.

    Returns:
        A few words.
    """
    if protocol.prompt == "given":
        return "as given"
    if family(benchmark) == "livecodebench":
        return "the whole answer" if protocol.prompt == "completion" else "the last fenced block"
    source = "prompt and continuation" if protocol.prompt == "completion" else "fenced code"
    return f"{source}, examples {protocol.examples}"


def style_for(benchmark: str, style: PromptStyle) -> PromptStyle:
    """Return the prompt style used for a benchmark: LiveCodeBench prefills nothing, so there it is a plain chat.

    Args:
        benchmark: Name of the benchmark.
        style: The protocol's prompt style.

    Returns:
        The style.
    """
    return "chat" if style == "prefilled" and family(benchmark) == "livecodebench" else style


@dataclass(frozen=True)
class ProblemPrompt:
    """The request for one problem."""

    prompt: Prompt
    """If the last turn of a conversation is the assistant's, the answer continues it."""
    digest: str
    """Digest of the prompt's template and the stop strings."""
    sampling: Sampling
    before: str = ""
    """Text that precedes the answer, if the answer continues it."""
    holds: Literal["code", "blocks", "contest"] = "blocks"
    """What the answer is: the program, after `before`; text with fenced blocks; or such text, read as LiveCodeBench
    does."""

    def program(self, text: str, entry_point: str | None) -> str | None:
        """Extract the program from an answer.

        Args:
            text: The answer.
            entry_point: Name of the function or class under test; None for a script.

        Returns:
            The program, or None if there is none.
        """
        if self.before:
            text = self.before + text.replace(
                "\t", "    "
            )  # the prefix is indented by spaces, which Python does not mix with tabs
        if self.holds == "contest":
            return contest.fenced_code(text) or None
        return extract_code(text, entry_point) if self.holds == "blocks" else text


def problem_prompt(benchmark: str, problem: Problem, protocol: Protocol) -> ProblemPrompt:
    """Build the request for a problem.

    Args:
        benchmark: Name of the benchmark.
        problem: The problem.
        protocol: A protocol other than `given`.

    Returns:
        The request.
    """
    kind, style = family(benchmark), style_for(benchmark, protocol.prompt)
    sampling = Sampling(
        temperature=protocol.temperature,
        top_p=protocol.top_p,
        max_tokens=protocol.max_tokens or _MAX_TOKENS[kind],
        stop=_stop(kind, style),
    )
    if kind == "livecodebench":
        which = "base" if style == "completion" else protocol.contest_family
        inputs = digest(contest.prompt_digests(problem, which), sampling.stop)
        text = contest.build_prompt(problem, which)
        return ProblemPrompt(text, inputs, sampling, holds="code" if style == "completion" else "contest")
    if style == "completion":
        template = "" if problem.kind == "completion" else "benchmark_completion"
        text = (render(template, problem=problem.text) if template else problem.text).strip() + "\n"
        inputs = digest(prompt_digest(template) if template else "", sampling.stop)
        return ProblemPrompt(text, inputs, sampling, before=text, holds="code")
    template = f"benchmark_{style}"
    turns = conversation(template, problem=problem.text)
    inputs = digest(prompt_digest(template), sampling.stop)
    return ProblemPrompt(turns, inputs, sampling, before=_FENCE if style == "prefilled" else "")


def _stop(kind: str, style: PromptStyle) -> tuple[str, ...]:
    match style:
        case "completion":
            return _COMPLETION_ENDS[kind]
        case "prefilled":
            return (*_ENDS, "\n```")
    return ()


def judged_code(code: str, benchmark: str, problem: Problem, protocol: Protocol) -> str:
    """Return what is judged of a program: all of it, or what its entry point and the tests need.

    An answer to a prompt that is code may omit what that code defines besides the entry point. A program from a file
    only gets those of these definitions that the tests call by name.

    Args:
        code: The program.
        benchmark: Name of the benchmark.
        problem: The problem.
        protocol: The protocol.

    Returns:
        Python source.
    """
    if family(benchmark) == "livecodebench":
        return code
    if protocol.examples == "removed":
        code = needed_code(code, problem.entry_point, problem.used_names)
    if problem.kind != "completion":
        return code
    from_file = protocol.prompt == "given"
    prefix = missing_helpers(code, problem.text, problem.entry_point, problem.used_names, tests_only=from_file)
    return prepend_setup(prefix, code)
