"""How a benchmark's problems are put to a model, and where in its answer the program is.

Four prompts, as EvalPlus and LiveCodeBench have them for the families of models:

    chat         a chat model gets the problem as a user's turn         (EvalPlus on servers, LiveCodeBench)
    prefilled    the same, and the answer's first lines are written for it, up to the code
                                                                        (EvalPlus on local models)
    completion   a base model continues the code, until a stop string   (both)
    given        somebody else's programs, as they are
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

_FENCE = "```python\n"
_ENDS = ("\nif __name__", "\ndef main(", "\nprint(", "<|endoftext|>", "<|endofmask|>", "</s>")
"""Where the solution ends and its use begins, or a model that knows no better goes on to the next document."""
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
    """Answers to each problem."""
    temperature: float = Field(default=0.0, ge=0, le=10, allow_inf_nan=False)
    """0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """The share of probability that tokens are drawn from."""
    max_tokens: int | None = Field(default=None, ge=16)
    """Tokens of an answer at most; EvalPlus' 768 and LiveCodeBench's 2,000 when not set."""
    seed: int = 0
    """From it and what is asked each request's own seed is made."""
    prompt: PromptStyle = "chat"
    """See the module."""
    contest_family: Literal["chat", "qwen"] = "chat"
    """Which of its prompts for chat models LiveCodeBench gives."""
    examples: Literal["removed", "kept"] = "removed"
    """Whether code that tries the solution out, which models add, is removed, as EvalPlus does; of
    LiveCodeBench's programs it is never."""


GIVEN = Protocol(prompt="given", examples="kept")


def family(benchmark: str) -> str:
    """`humaneval`, `mbpp` or `livecodebench`: whose prompts and stop strings a benchmark has."""
    return next(name for name in _MAX_TOKENS if benchmark.startswith(name))


def extraction(benchmark: str, protocol: Protocol) -> str:
    """How programs are found, in words for the record of a score."""
    if protocol.prompt == "given":
        return "as given"
    if family(benchmark) == "livecodebench":
        return "the whole answer" if protocol.prompt == "completion" else "the last fenced block"
    found = "prompt and continuation" if protocol.prompt == "completion" else "fenced code"
    return f"{found}, examples {protocol.examples}"


def style_for(benchmark: str, form: PromptStyle) -> PromptStyle:
    """LiveCodeBench writes nothing for a model: there a chat is only a chat."""
    return "chat" if form == "prefilled" and family(benchmark) == "livecodebench" else form


@dataclass(frozen=True)
class ProblemPrompt:
    """One problem, as a model is asked it."""

    prompt: Prompt
    """A conversation whose last turn is the assistant's is one whose answer has begun."""
    digest: str
    """Of the prompt's template and the stop strings."""
    sampling: Sampling
    before: str = ""
    """What stands before the answer, where the answer goes on with it."""
    holds: Literal["code", "blocks", "contest"] = "blocks"
    """What the answer is: the program, after `before`; text with fenced blocks; or that, read as LiveCodeBench does."""

    def program(self, text: str, entry_point: str | None) -> str | None:
        """The program in an answer; None where there is none."""
        if self.before:
            text = self.before + text.replace("\t", "    ")  # spaces indent what was begun, and Python takes no mixture
        if self.holds == "contest":
            return contest.fenced_code(text) or None
        return extract_code(text, entry_point) if self.holds == "blocks" else text


def problem_prompt(benchmark: str, problem: Problem, protocol: Protocol) -> ProblemPrompt:
    """How a problem is asked under a protocol that is not `given`."""
    kind, form = family(benchmark), style_for(benchmark, protocol.prompt)
    sampling = Sampling(
        temperature=protocol.temperature,
        top_p=protocol.top_p,
        max_tokens=protocol.max_tokens or _MAX_TOKENS[kind],
        stop=_stop(kind, form),
    )
    if kind == "livecodebench":
        which = "base" if form == "completion" else protocol.contest_family
        made_of = digest(contest.prompt_digests(problem, which), sampling.stop)
        text = contest.build_prompt(problem, which)
        return ProblemPrompt(text, made_of, sampling, holds="code" if form == "completion" else "contest")
    if form == "completion":
        template = "" if problem.kind == "completion" else "benchmark_completion"
        text = (render(template, problem=problem.text) if template else problem.text).strip() + "\n"
        made_of = digest(prompt_digest(template) if template else "", sampling.stop)
        return ProblemPrompt(text, made_of, sampling, before=text, holds="code")
    template = f"benchmark_{form}"
    turns = conversation(template, problem=problem.text)
    made_of = digest(prompt_digest(template), sampling.stop)
    return ProblemPrompt(turns, made_of, sampling, before=_FENCE if form == "prefilled" else "")


def _stop(kind: str, form: PromptStyle) -> tuple[str, ...]:
    match form:
        case "completion":
            return _COMPLETION_ENDS[kind]
        case "prefilled":
            return (*_ENDS, "\n```")
    return ()


def judged_code(code: str, benchmark: str, problem: Problem, protocol: Protocol) -> str:
    """What is judged of a program: all of it, or what its entry point and the tests need.

    An answer to a prompt that is code may leave out what that code defines beside the entry point. Somebody else's
    program is given only those of these definitions that the tests call by name.
    """
    if family(benchmark) == "livecodebench":
        return code
    if protocol.examples == "removed":
        code = needed_code(code, problem.entry_point, problem.used_names)
    if problem.kind != "completion":
        return code
    given = protocol.prompt == "given"
    before = missing_helpers(code, problem.text, problem.entry_point, problem.used_names, tests_only=given)
    return prepend_setup(before, code)
