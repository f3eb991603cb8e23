"""Turn the selected problems of all benchmarks into requests to a model, for one call of the engine."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from plum_hub.engines import EngineConfig
from plum_hub.engines.base import Completion, LocalSettings, Prompt, Request
from plum_hub.engines.tokenizer import begun_answers
from plum_hub.errors import EngineError
from plum_hub.evaluation.config import SelectedBenchmark
from plum_hub.evaluation.protocol import ProblemPrompt, PromptStyle, Protocol, problem_prompt, style_for
from plum_hub.pipeline.base import engine_inputs, seed_of
from plum_hub.records import Sample, digest


@dataclass(frozen=True)
class ProblemProgram:
    """One program that is judged by the suites of a benchmark's problem."""

    sample_id: str
    benchmark: str
    problem: str
    code: str | None
    """The program as the answer or the file has it; None if there is none."""
    answer: str = ""
    """The whole answer, if it is known."""
    invalid: str = ""
    """Why the program is not run, though there is one; "" if it is run."""


@dataclass(frozen=True)
class SampleRequest:
    """One sample to be generated. Benchmarks with a problem in common, such as HumanEval and HumanEval+, share it."""

    id: str
    benchmarks: tuple[str, ...]
    problem: str
    entry_point: str | None
    index: int
    """Number of the sample among those of the problem, from 0."""
    seed: int
    question: ProblemPrompt
    """The prompt, and how to read the answer."""

    def sample(self, completion: Completion, engine: str) -> Sample:
        """Make the row of an answer.

        Args:
            completion: The answer. If the request was refused, as for a prompt longer than the context, its text is the
                reason and it holds no program.
            engine: Name and version of the engine.

        Returns:
            The sample.
        """
        refused = completion.finish_reason == "refused"
        return Sample(
            id=self.id,
            instruction_id=self.problem,
            suite_id=self.benchmarks[0],
            index=self.index,
            seed=self.seed,
            prompt_digest=self.question.digest,
            text=completion.text,
            code=None if refused else self.question.program(completion.text, self.entry_point),
            finish_reason=completion.finish_reason,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
            engine=engine,
        )

    def slots(self) -> Iterator[ProblemProgram]:
        """List what there will be to judge, before the sample exists.

        Returns:
            The sample without a program, once for each benchmark.
        """
        return (ProblemProgram(self.id, benchmark, self.problem, None) for benchmark in self.benchmarks)

    def entries(self, sample: Sample) -> Iterator[ProblemProgram]:
        """List what there is to judge.

        Args:
            sample: The row of the answer.

        Returns:
            The sample's program, once for each benchmark.
        """
        for benchmark in self.benchmarks:
            yield ProblemProgram(self.id, benchmark, self.problem, sample.code, sample.text)


def choose_style(config: EngineConfig) -> PromptStyle:
    """Choose the prompt style that fits a model, as EvalPlus does.

    It depends on whether the model has a chat template, and on who applies it.

    Args:
        config: The engine configuration.

    Returns:
        The style.
    """
    if not config.takes_conversations():
        return "completion"
    return "prefilled" if isinstance(config, LocalSettings) else "chat"


def contest_family(config: EngineConfig) -> Literal["chat", "qwen"]:
    """Choose LiveCodeBench's prompts for a chat model. Qwen's models, and those trained from them, have their own.

    Args:
        config: The engine configuration.

    Returns:
        The family.
    """
    public = config.public()
    name = public.model + ((public.base or "") if isinstance(public, LocalSettings) else "")
    with suppress(OSError, ValueError, AttributeError, RecursionError):
        model = (config.base if isinstance(config, LocalSettings) else None) or config.model
        path = Path(model).expanduser() / "config.json"
        name += str(json.loads(path.read_text(encoding="utf-8")).get("model_type"))
    return "qwen" if "qwen" in name.lower() else "chat"


def check_style(config: EngineConfig, style: PromptStyle) -> None:
    """Check that a model supports a prompt style.

    Args:
        config: The engine configuration.
        style: The prompt style.

    Raises:
        EngineError: It does not.
    """
    if style == "prefilled" and not isinstance(config, LocalSettings):
        raise EngineError(
            f"{config.type} sends whole conversations to a server, which cannot continue a prefilled answer: "
            "use  --prompt chat, or the engine vllm or transformers"
        )
    if style != "completion" and not config.takes_conversations():
        raise EngineError(f"{config.model} has no chat template: use  --prompt completion")


def sample_requests(
    config: EngineConfig, chosen: Mapping[str, SelectedBenchmark], protocol: Protocol
) -> dict[str, SampleRequest]:
    """List the samples of an evaluation.

    Args:
        config: The pinned engine configuration.
        chosen: The benchmarks by name.
        protocol: The protocol.

    Returns:
        The samples by id.
    """
    requests: dict[str, SampleRequest] = {}
    for benchmark in chosen.values():
        for problem in benchmark.problems.values():
            question = problem_prompt(benchmark.name, problem, protocol)
            sampling = [
                question.sampling.temperature,
                question.sampling.top_p,
                question.sampling.max_tokens,
                question.digest,
            ]
            for index in range(protocol.samples):
                seed = seed_of(protocol.seed, problem.id, index)
                name = digest(
                    engine_inputs(config), problem.id, question.prompt, question.before, sampling, seed, index
                )
                others = requests[name].benchmarks if name in requests else ()
                requests[name] = SampleRequest(
                    name, (*others, benchmark.name), problem.id, problem.entry_point, index, seed, question
                )
    return requests


def engine_requests(config: EngineConfig, pending: Mapping[str, SampleRequest]) -> list[Request]:
    """Build the engine's requests. Prefilled conversations are converted to text.

    Args:
        config: The pinned engine configuration.
        pending: The pending samples by id.

    Returns:
        The requests, in the same order.

    Raises:
        EngineError: The tokenizer of the model cannot be loaded.
    """
    prefilled = [one for one in pending.values() if _is_prefilled(one.question.prompt)]
    distinct = {digest(one.question.prompt): one.question.prompt for one in prefilled}
    conversations = [prompt for prompt in distinct.values() if not isinstance(prompt, str)]
    begun: list[str] = []
    if prefilled:
        assert isinstance(config, LocalSettings)  # others send whole conversations
        keep_start = any(one.question.keep_start for one in prefilled)
        begun = begun_answers(config, conversations, keep_start=keep_start)
    texts = dict(zip(distinct, begun, strict=True))
    return [
        Request(
            id=one.id,
            prompt=texts.get(digest(one.question.prompt), one.question.prompt),
            seed=one.seed,
            sampling=one.question.sampling,
        )
        for one in pending.values()
    ]


def prompt_facts(chosen: SelectedBenchmark, protocol: Protocol) -> tuple[str, str, int]:
    """Summarise the prompts of a benchmark, for the record of a score.

    Args:
        chosen: The benchmark.
        protocol: The protocol.

    Returns:
        The prompt style, the digest of all templates, and the limit on tokens.
    """
    prompts = [problem_prompt(chosen.name, problem, protocol) for problem in chosen.problems.values()]
    digests = sorted({one.digest for one in prompts})
    return (
        protocol.prompt if protocol.name == "file" else style_for(chosen.name, protocol.prompt),
        digests[0] if len(digests) == 1 else digest(digests),
        prompts[0].sampling.max_tokens,
    )


def _is_prefilled(prompt: Prompt) -> bool:
    return not isinstance(prompt, str) and prompt[-1]["role"] == "assistant"
