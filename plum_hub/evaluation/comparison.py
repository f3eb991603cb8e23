"""Compare two evaluations on the same problems: what the second gains over the first, and how certain that is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from plum_hub.errors import UsageError
from plum_hub.evaluation.folder import BenchmarkCounts, EvaluationFolder, ScoresRecord
from plum_hub.evaluation.protocol import protocol_label
from plum_hub.statistics import (
    bootstrap_interval,
    gain_beyond_error,
    mcnemar,
    mean_over_problems,
    relative_gain,
    smallest_gain,
)


@dataclass(frozen=True, kw_only=True)
class ScoreGain:
    """The gain of one model over another in pass@1, on one suite. Shares, not per cent."""

    benchmark: str
    """Its usual name, as in `humaneval+`."""
    suite: str
    """The tests a sample has to pass: `base` or `plus`."""
    reading: str
    """Whose rules decided: `official` or `strict`."""
    part: str
    """Difficulty or split; "" for all problems."""
    protocol: str
    """How both models were asked, as in `evalplus 0.3.1`."""
    problems: int
    """Problems that both models were asked."""
    first: float
    """pass@1 of the first model."""
    second: float
    """pass@1 of the second model."""
    gain: float
    """`second` minus `first`, from -1 to 1."""
    relative: float | None
    """The gain as a share of `first`; None if that is 0."""
    only_first: int | None
    """Problems that only the first model solved. None, like the next two, if a model has several samples of a problem.
    """
    only_second: int | None
    """Problems that only the second model solved."""
    p_value: float | None
    """McNemar's exact test, two-sided."""
    low: float
    """Lower end of the 95 % interval of the gain (paired bootstrap)."""
    high: float
    """Upper end of that interval."""
    smallest: float | None
    """The smallest true gain that would be detected with 80 % power at the 5 % level; None if there are too few
    problems for any."""


@dataclass(frozen=True)
class PairedComparison:
    """The gains of one model over another."""

    gains: tuple[ScoreGain, ...]
    notes: tuple[str, ...]
    """Remarks on them, one line each."""


def compare(first: Path, second: Path) -> PairedComparison:
    """Compare two evaluations on the problems that both models were asked.

    Args:
        first: Folder of the first evaluation.
        second: Folder of the second evaluation.

    Returns:
        The gains of the second over the first.

    Raises:
        RunError: A folder has no scores.
        UsageError: The evaluations share no benchmark, or not the same version of one, or asked by two protocols.
    """
    before, after = (EvaluationFolder(path.parent if path.is_file() else path).scores() for path in (first, second))
    names = [name for name in before.outcomes if name in after.outcomes]
    if not names:
        raise UsageError(
            f"{first} and {second} have no benchmark in common: they have {', '.join(before.outcomes)}, and "
            f"{', '.join(after.outcomes)}"
        )
    gains: list[ScoreGain] = []
    notes = [*_differences(before, after)]
    for name in names:
        one, other = before.outcomes[name], after.outcomes[name]
        if one.revision != other.revision:
            raise UsageError(
                f"{name} is {one.revision} in {first} and {other.revision} in {second}, and scores of two "
                "versions cannot be compared: evaluate one of them again"
            )
        label = _shared_protocol(name, (first, before), (second, after))
        gains += _gains(name, label, one, other)
        if (unshared := _count_unshared(one, other)) > 0:
            notes.append(f"{name}: {unshared} problems that only one of the models was asked are left out")
    return PairedComparison(tuple(gains), tuple(notes))


def _shared_protocol(name: str, *of: tuple[Path, ScoresRecord]) -> str:
    """Return the protocol by which both evaluations asked a benchmark's problems; refuse two."""
    (first, one), (second, other) = ((path, protocol_label(name, record.protocol)) for path, record in of)
    if one != other:
        begun = other.split(" ")[0] if other != "given" else one.split(" ")[0]
        raise UsageError(
            f"{name} was asked by the protocol {one} in {first} and {other} in {second}, and scores of two protocols "
            f"cannot be compared: evaluate both by one, as with  plum-hub evaluate --protocol {begun}"
        )
    return one


def _gains(
    name: str, protocol: str, first_counts: BenchmarkCounts, second_counts: BenchmarkCounts
) -> Iterator[ScoreGain]:
    for suite, readings in first_counts.counts.items():
        for reading, counts in readings.items():
            others = second_counts.counts.get(suite, {}).get(reading, {})
            common = [problem for problem in counts if problem in others]
            for part, members in {"": common, **first_counts.parts}.items():
                shared = [problem for problem in common if problem in set(members)]
                if shared:
                    pairs = [(counts[problem], others[problem]) for problem in shared]
                    yield _gain((name, suite, reading, part, protocol), pairs)


def _gain(of: tuple[str, str, str, str, str], pairs: list[tuple[tuple[int, int], tuple[int, int]]]) -> ScoreGain:
    rates = [(passed / samples, others_passed / others) for (samples, passed), (others, others_passed) in pairs]
    differences = [after - before for before, after in rates]
    first = sum(before for before, _ in rates) / len(rates)
    second = sum(after for _, after in rates) / len(rates)
    single = all(samples == others == 1 for (samples, _), (others, _) in pairs)
    lost, won = (sum(difference * sign > 0 for difference in differences) for sign in (-1, 1))
    low, high = bootstrap_interval(differences)
    benchmark, suite, reading, part, protocol = of
    return ScoreGain(
        benchmark=benchmark,
        suite=suite,
        reading=reading,
        part=part,
        protocol=protocol,
        problems=len(pairs),
        first=first,
        second=second,
        gain=second - first,
        relative=relative_gain(first, second),
        only_first=lost if single else None,
        only_second=won if single else None,
        p_value=mcnemar(lost, won) if single else None,
        low=low,
        high=high,
        smallest=gain_beyond_error(stderr)
        if not single and (stderr := mean_over_problems(differences).stderr)
        else smallest_gain(len(pairs), (lost + won) / len(pairs)),
    )


def _count_unshared(first_counts: BenchmarkCounts, second_counts: BenchmarkCounts) -> int:
    problems = [
        {problem for by in outcomes.counts.values() for problem in by["official"]}
        for outcomes in (first_counts, second_counts)
    ]
    return len(problems[0] ^ problems[1])


def _differences(before: ScoresRecord, after: ScoresRecord) -> Iterator[str]:
    """Yield what differs besides the model and may explain a gain."""
    if before.harness != after.harness:
        yield f"judged by two harnesses: {before.harness} and {after.harness}"
    old, new = before.protocol.model_dump(), after.protocol.model_dump()
    for key in old:
        if old[key] != new[key] and key not in ("name", "version", "template"):
            yield f"{key} differs: {old[key]} and {new[key]}"
