"""How the problems of a benchmark are put to a model, and where in its answer the program is.

A protocol is the wording with its stop strings. Scores compare only under one protocol:

    evalplus       EvalPlus' own, by the installed package: what its leaderboard and most papers use
    livecodebench  LiveCodeBench's own; there is no package of it, so the texts are copies
    plum           plum-hub's wording of HumanEval and MBPP
    file           a user's own prompt; its digest is the version

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
from plum_hub.benchmarks import ENTRIES, BenchmarkFamily
from plum_hub.benchmarks.base import Problem
from plum_hub.benchmarks.livecodebench import prompts as contest
from plum_hub.benchmarks.setup import prepend_setup
from plum_hub.engines.base import Prompt, Sampling
from plum_hub.errors import UsageError
from plum_hub.prompts import conversation, placeholders, prompt_digest, render, turns_of
from plum_hub.prompts.evalplus import evalplus_rules
from plum_hub.records import digest

PromptStyle = Literal["chat", "prefilled", "completion", "given"]
"""The prompt styles described in this module."""
ProtocolName = Literal["plum", "evalplus", "livecodebench", "file"]
"""The protocols described in this module."""

_FENCE = "```python\n"
_ENDS = ("\nif __name__", "\ndef main(", "\nprint(", "<|endoftext|>", "<|endofmask|>", "</s>")
"""Where the solution ends and its use begins, or where a model without an end token starts the next document."""
_COMPLETION_ENDS: dict[BenchmarkFamily, tuple[str, ...]] = {
    "humaneval": (*_ENDS, "\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert "),
    "mbpp": (*_ENDS, '\n"""', "\nassert"),
    "livecodebench": ("###",),
}
_MAX_TOKENS: dict[BenchmarkFamily, int] = {"humaneval": 768, "mbpp": 768, "livecodebench": 2000}
_VERSIONS: dict[ProtocolName, str] = {"plum": "1", "livecodebench": "1"}
"""Versions of the protocols whose texts are in `prompts`: raised when a text or a stop string changes."""


class Protocol(BaseModel):
    """How a model is sampled on every benchmark of an evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ProtocolName = "plum"
    """The protocol of HumanEval and MBPP; LiveCodeBench's problems are always put by its own. Evaluations of versions
    that knew no other protocol are `plum`."""
    version: str = ""
    """Version of the package that the protocol was read from, or digest of the user's prompt; "" if its texts are
    plum-hub's copies."""
    template: str = ""
    """The user's prompt, with `{{ problem }}` and perhaps `{{ entry_point }}`; "" for the other protocols."""
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


def family(benchmark: str) -> BenchmarkFamily:
    """Return the family of a benchmark, which decides its prompts and stop strings.

    Args:
        benchmark: Name of the benchmark.

    Returns:
        `humaneval`, `mbpp` or `livecodebench`.
    """
    return ENTRIES[benchmark].family


def protocol_label(benchmark: str, protocol: Protocol) -> str:
    """Name the protocol of a benchmark's scores with its version.

    Args:
        benchmark: Name of the benchmark.
        protocol: The protocol of the evaluation.

    Returns:
        As in `evalplus 0.3.1`, `plum 1`, `livecodebench 1`, `file:` and a digest; `given` for programs that were read
        from a file.
    """
    if protocol.prompt == "given":
        return "given"
    if protocol.name == "file":
        return f"file:{protocol.version}"
    name = "livecodebench" if family(benchmark) == "livecodebench" else protocol.name
    return f"{name} {_VERSIONS.get(name, protocol.version)}"


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
    keep_start: bool = False
    """Whether the chat template's first special token stays in the text of a begun answer, though the engine adds it
    again, as EvalPlus does."""
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
    if protocol.name == "file":
        return _asked_by_file(kind, problem, protocol)
    evalplus = protocol.name == "evalplus" and kind != "livecodebench"
    sampling = Sampling(
        temperature=protocol.temperature,
        top_p=protocol.top_p,
        max_tokens=protocol.max_tokens or (evalplus_rules().max_tokens if evalplus else _MAX_TOKENS[kind]),
        stop=_evalplus_stop(kind, style) if evalplus else _stop(kind, style),
    )
    if evalplus:
        return _asked_by_evalplus(problem, style, sampling)
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


def own_protocol(text: str) -> Protocol:
    """Make the protocol of a user's own prompt.

    Args:
        text: The prompt: one user message, or messages under `<!-- user -->` and `<!-- assistant -->`. If the last one
            is the assistant's, the model goes on with it.

    Returns:
        The protocol, with the prompt style that follows from the text.

    Raises:
        UsageError: The text lacks `{{ problem }}`, or has a placeholder that has no value.
    """
    found = placeholders(text)
    if "problem" not in found:
        raise UsageError("it does not say where the problem goes: write {{ problem }} there")
    if unknown := found - {"problem", "entry_point"}:
        raise UsageError(
            f"it has {{{{ {min(unknown)} }}}}, which has no value: use {{{{ problem }}}} and {{{{ entry_point }}}}"
        )
    begun = turns_of(text, dict.fromkeys(found, ""))[-1]["role"] == "assistant"
    style: PromptStyle = "prefilled" if begun else "chat"
    return Protocol(name="file", version=digest(text), template=text, prompt=style)


def _asked_by_file(kind: BenchmarkFamily, problem: Problem, protocol: Protocol) -> ProblemPrompt:
    """Build the request for a problem by a user's own prompt. An answer begun inside a code block ends with it."""
    turns = turns_of(protocol.template, {"problem": problem.text, "entry_point": problem.entry_point or ""})
    inside = protocol.prompt == "prefilled" and turns[-1]["content"].endswith("```python")
    sampling = Sampling(
        temperature=protocol.temperature,
        top_p=protocol.top_p,
        max_tokens=protocol.max_tokens or _MAX_TOKENS[kind],
        stop=("\n```\n",) if inside else (),
    )
    holds: Literal["blocks", "contest"] = "contest" if kind == "livecodebench" else "blocks"
    inputs = digest("file", protocol.version, sampling.stop)
    return ProblemPrompt(turns, inputs, sampling, before=_FENCE if inside else "", holds=holds)


def _asked_by_evalplus(problem: Problem, style: PromptStyle, sampling: Sampling) -> ProblemPrompt:
    """Build EvalPlus' request for a problem. Its data set has every problem as code, those of MBPP as a docstring."""
    rules = evalplus_rules()
    task = problem.text if problem.kind == "completion" else render("benchmark_completion", problem=problem.text)
    if style == "completion":
        text = task.strip() + "\n"
        return ProblemPrompt(text, digest("evalplus", sampling.stop), sampling, before=text, holds="code")
    turns = rules.prefilled(task) if style == "prefilled" else rules.chat(task)
    inputs = digest("evalplus", style, digest(*rules.words), sampling.stop)
    before = _FENCE if style == "prefilled" else ""
    return ProblemPrompt(turns, inputs, sampling, before=before, keep_start=True)


def _evalplus_stop(kind: str, style: PromptStyle) -> tuple[str, ...]:
    rules = evalplus_rules()
    match style:
        case "completion":
            return (*rules.stop, *rules.completion_stop[kind])
        case "prefilled":
            return (*rules.stop, *rules.fence_stop)
    return ()


def _stop(kind: BenchmarkFamily, style: PromptStyle) -> tuple[str, ...]:
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
