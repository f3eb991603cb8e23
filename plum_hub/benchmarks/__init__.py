"""Benchmarks: problems with fixed test suites, at a known revision."""

from collections.abc import Callable
from pathlib import Path

from plum_hub.benchmarks.base import Benchmark
from plum_hub.errors import BenchmarkError


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


_MEMBERS: dict[str, Callable[[Path | None], Benchmark]] = {
    "humaneval": _humaneval,
    "humaneval+": _humaneval_plus,
    "mbpp": _mbpp,
    "mbpp-sanitized": _mbpp_sanitized,
    "mbpp+": _mbpp_plus,
    "livecodebench": _livecodebench,
}
NAMES = tuple(_MEMBERS)


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
    if name not in _MEMBERS:
        raise BenchmarkError(f"unknown benchmark {name!r}: give {', '.join(NAMES)}")
    return _MEMBERS[name](source)
