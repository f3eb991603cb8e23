"""The gain of a round: the trained model against the model it began with, on the same held-out instructions."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from plum_hub.errors import RunError
from plum_hub.records import Preference, Verdict, digest
from plum_hub.run import Run
from plum_hub.statistics import bootstrap_interval, mcnemar


@dataclass(frozen=True, kw_only=True)
class RoundGain:
    """Pass rates before and after a round: mean over instructions of the share of samples that pass, from 0 to 1."""

    instructions: int
    """Held-out instructions that both models answered."""
    ids: str
    """Digest of their ids."""
    trained_on: int
    """How many of them any round trained on: always 0, or no gain is reported."""
    before: float
    """Pass rate of the model that the round began with."""
    after: float
    """Pass rate of the model that it ended with."""
    gain: float
    """Mean difference of the pass rates, from -1 to 1."""
    low: float
    """Lower bound of the gain's 95 % interval, by the paired bootstrap over instructions."""
    high: float
    """Upper bound of that interval."""
    p_value: float | None
    """McNemar's exact test, two-sided; None where an instruction has several samples."""

    @property
    def significant(self) -> bool:
        """Whether the whole 95 % interval lies above 0."""
        return self.low > 0


def measure_gain(before: Run, after: Run, trainings: Iterable[Run]) -> RoundGain:
    """Compare the verdicts of two models on the instructions that both answered.

    Args:
        before: Held-out run of the model that the round began with.
        after: Held-out run of the model that the round trained.
        trainings: Every run that the trained model was trained on.

    Returns:
        Pass rates, gain and its interval.

    Raises:
        RunError: An instruction was trained on, or both models answered none in common.
    """
    first, second = _rates(before), _rates(after)
    common = sorted(first.keys() & second.keys())
    if not common:
        raise RunError(
            f"{after.folder}: has no verdicts on the instructions of {before.folder}; restore the files of both"
        )
    seen = {row.instruction_id for training in trainings for row in training.rows(Preference)} & {*common}
    if seen:
        raise RunError(
            f"{after.folder}: {len(seen)} of its instructions were trained on, as {min(seen)}, so no gain can be "
            "measured on them; start over with --run DIR"
        )
    differences = [second[name][0] - first[name][0] for name in common]
    low, high = bootstrap_interval(differences)
    single = all(rates[name][1] == 1 for rates in (first, second) for name in common)
    lost, won = (sum(difference * sign > 0 for difference in differences) for sign in (-1, 1))
    return RoundGain(
        instructions=len(common),
        ids=digest(*common),
        trained_on=len(seen),
        before=fmean(first[name][0] for name in common),
        after=fmean(second[name][0] for name in common),
        gain=fmean(differences),
        low=low,
        high=high,
        p_value=mcnemar(lost, won) if single else None,
    )


def _rates(run: Run) -> dict[str, tuple[float, int]]:
    """Return for each instruction the share of samples that passed, and the number of samples."""
    samples: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for verdict in run.rows(Verdict):
        samples[verdict.instruction_id] += 1
        passed[verdict.instruction_id] += verdict.status == "passed"
    return {name: (passed[name] / count, count) for name, count in samples.items()}
