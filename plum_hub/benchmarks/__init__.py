"""Benchmarks: problems with fixed test suites, at a known revision."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from plum_hub.benchmarks.base import Benchmark
from plum_hub.errors import BenchmarkError, perhaps

BenchmarkFamily: TypeAlias = Literal["humaneval", "mbpp", "livecodebench"]


def _humaneval(source: Path | None) -> Benchmark:
    from plum_hub.benchmarks.humaneval import HumanEval

    return HumanEval(source)


def _humaneval_plus(source: Path | None) -> Benchmark:
    from plum_hub.benchmarks.evalplus import HUMANEVAL_PLUS, EvalPlus

    return EvalPlus("humaneval+", HUMANEVAL_PLUS, source)


def _mbpp(source: Path | None) -> Benchmark:
    from plum_hub.benchmarks.mbpp import FULL, Mbpp

    return Mbpp("mbpp", FULL, source)


def _mbpp_sanitized(source: Path | None) -> Benchmark:
    from plum_hub.benchmarks.mbpp import SANITIZED, Mbpp

    return Mbpp("mbpp-sanitized", SANITIZED, source)


def _mbpp_plus(source: Path | None) -> Benchmark:
    from plum_hub.benchmarks.evalplus import MBPP_PLUS, EvalPlus

    return EvalPlus("mbpp+", MBPP_PLUS, source)


def _livecodebench(source: Path | None) -> Benchmark:
    from plum_hub.benchmarks.livecodebench import LiveCodeBench

    return LiveCodeBench(source=source)


@dataclass(frozen=True)
class BenchmarkEntry:
    """What is known of a benchmark before its content is read, so that it can be asked, scored and published."""

    make: Callable[[Path | None], Benchmark]
    """Creates it, from a local file or folder or from the published file."""
    family: BenchmarkFamily
    """Whose prompts, stop strings and token limit it is asked with (`plum_hub.evaluation.protocol`)."""
    dataset: str
    """Its dataset on the Hub, under which the Hub shows scores."""
    title: str
    """Its name in tables and cards."""
    problems: int
    """How many problems the published version has, for plans."""


_HUMANEVAL, _MBPP = "openai/openai_humaneval", "google-research-datasets/mbpp"
ENTRIES: dict[str, BenchmarkEntry] = {
    "humaneval": BenchmarkEntry(_humaneval, "humaneval", _HUMANEVAL, "HumanEval", 164),
    "humaneval+": BenchmarkEntry(_humaneval_plus, "humaneval", "evalplus/humanevalplus", "HumanEval+", 164),
    "mbpp": BenchmarkEntry(_mbpp, "mbpp", _MBPP, "MBPP", 974),
    "mbpp-sanitized": BenchmarkEntry(_mbpp_sanitized, "mbpp", _MBPP, "MBPP (sanitized)", 427),
    "mbpp+": BenchmarkEntry(_mbpp_plus, "mbpp", "evalplus/mbppplus", "MBPP+", 378),
    "livecodebench": BenchmarkEntry(
        _livecodebench, "livecodebench", "livecodebench/code_generation_lite", "LiveCodeBench", 1055
    ),
}
"""The benchmarks by name; the registry."""
NAMES = tuple(ENTRIES)


def load(name: str, *, source: Path | None = None) -> Benchmark:
    """Create a benchmark by name; nothing is read yet.

    Args:
        name: One of `NAMES`.
        source: A local file, or a folder that contains it; None downloads the published file.

    Returns:
        The benchmark.

    Raises:
        BenchmarkError: The name is unknown.
    """
    if name not in ENTRIES:
        near = perhaps(name, NAMES).removeprefix(", ")
        raise BenchmarkError(f"unknown benchmark {name!r}: give {', '.join(NAMES)}" + (f" ({near})" if near else ""))
    return ENTRIES[name].make(source)
