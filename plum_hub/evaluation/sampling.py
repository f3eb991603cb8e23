"""From the chosen problems of all benchmarks to what is asked of a model, in one call of the engine."""

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
    """As the answer or the file has it."""
    answer: str = ""
    """The whole answer, where it is known."""
    unfit: str = ""
    """Why the program is not run, though there is one."""


@dataclass(frozen=True)
class SampleRequest:
    """One sample that is wanted: what it is asked, and of which problem. Two benchmarks with one and the same problem,
    as HumanEval and HumanEval+ have, share it."""

    id: str
    benchmarks: tuple[str, ...]
    problem: str
    entry_point: str | None
    index: int
    seed: int
    asked: ProblemPrompt

    def sample(self, completion: Completion, engine: str) -> Sample:
        """The row of an answer. Of a refused request, as of a prompt longer than the context, the text is the reason;
        it holds no program."""
        refused = completion.finish_reason == "refused"
        return Sample(
            id=self.id,
            instruction_id=self.problem,
            suite_id=self.benchmarks[0],
            index=self.index,
            seed=self.seed,
            prompt_digest=self.asked.digest,
            text=completion.text,
            code=None if refused else self.asked.program(completion.text, self.entry_point),
            finish_reason=completion.finish_reason,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
            engine=engine,
        )

    def slots(self) -> Iterator[ProblemProgram]:
        """What there will be to judge: the sample, once for each benchmark, not written yet."""
        return (ProblemProgram(self.id, benchmark, self.problem, None) for benchmark in self.benchmarks)

    def entries(self, sample: Sample) -> Iterator[ProblemProgram]:
        """The sample, once for each benchmark."""
        for benchmark in self.benchmarks:
            yield ProblemProgram(self.id, benchmark, self.problem, sample.code, sample.text)


def choose_style(config: EngineConfig) -> PromptStyle:
    """The prompt that fits a model: as EvalPlus decides, by whether there is a chat template and who applies it."""
    if not config.takes_conversations():
        return "completion"
    return "prefilled" if isinstance(config, LocalSettings) else "chat"


def contest_family(config: EngineConfig) -> Literal["chat", "qwen"]:
    """Which prompts LiveCodeBench has for a chat model: Qwen's models, and what is trained from them, get their own."""
    kind = config.public().model
    with suppress(OSError, ValueError, AttributeError, RecursionError):
        path = Path(config.model).expanduser() / "config.json"
        kind += str(json.loads(path.read_text(encoding="utf-8")).get("model_type"))
    return "qwen" if "qwen" in kind.lower() else "chat"


def check_style(config: EngineConfig, form: PromptStyle) -> None:
    """Raise an `EngineError` if the model cannot be asked so."""
    if form == "prefilled" and not isinstance(config, LocalSettings):
        raise EngineError(
            f"{config.type} gives conversations to a server whole, and the answer cannot be begun for it: "
            "use  --prompt chat, or the engine vllm or transformers"
        )
    if form != "completion" and not config.takes_conversations():
        raise EngineError(f"{config.model} has no chat template: use  --prompt completion")


def wanted_samples(
    config: EngineConfig, chosen: Mapping[str, SelectedBenchmark], protocol: Protocol
) -> dict[str, SampleRequest]:
    """Every sample, by id."""
    found: dict[str, SampleRequest] = {}
    for benchmark in chosen.values():
        for problem in benchmark.problems.values():
            asked = problem_prompt(benchmark.name, problem, protocol)
            sampling = [asked.sampling.temperature, asked.sampling.top_p, asked.sampling.max_tokens, asked.digest]
            for index in range(protocol.samples):
                seed = seed_of(protocol.seed, problem.id, index)
                name = digest(engine_inputs(config), problem.id, asked.prompt, asked.before, sampling, seed, index)
                others = found[name].benchmarks if name in found else ()
                found[name] = SampleRequest(
                    name, (*others, benchmark.name), problem.id, problem.entry_point, index, seed, asked
                )
    return found


def requests(config: EngineConfig, owed: Mapping[str, SampleRequest]) -> list[Request]:
    """What the engine is asked; answers that are begun go to it as text."""
    begun = [one for one in owed.values() if _is_begun(one.asked.prompt)]
    distinct = {digest(one.asked.prompt): one.asked.prompt for one in begun}
    conversations = [prompt for prompt in distinct.values() if not isinstance(prompt, str)]
    texts = dict(
        zip(distinct, begun_answers(config.model, config.revision, conversations) if begun else (), strict=True)
    )
    return [
        Request(
            id=one.id,
            prompt=texts.get(digest(one.asked.prompt), one.asked.prompt),
            seed=one.seed,
            sampling=one.asked.sampling,
        )
        for one in owed.values()
    ]


def shape_of(chosen: SelectedBenchmark, protocol: Protocol) -> tuple[str, str, int]:
    """The prompt of a benchmark, the digest of all its templates, and the cap of its answers, for a score's record."""
    asked = [problem_prompt(chosen.name, problem, protocol) for problem in chosen.problems.values()]
    digests = sorted({one.digest for one in asked})
    return (
        style_for(chosen.name, protocol.prompt),
        digests[0] if len(digests) == 1 else digest(digests),
        asked[0].sampling.max_tokens,
    )


def _is_begun(prompt: Prompt) -> bool:
    return not isinstance(prompt, str) and prompt[-1]["role"] == "assistant"
