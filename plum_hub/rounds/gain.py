"""What a round has gained: the trained model against the one that it began with, on the same held-out instructions."""

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
    """The share of samples that pass, as a mean over instructions. Shares, not per cent."""

    instructions: int
    ids: str
    """The digest of their ids."""
    trained_on: int
    """How many of them any round has trained on: none, or there is no gain to speak of."""
    before: float
    after: float
    gain: float
    low: float
    """Of the 95 % interval of the gain, by the paired bootstrap over instructions."""
    high: float
    p_value: float | None
    """McNemar's exact test, two-sided; None where an instruction has several samples."""

    @property
    def found(self) -> bool:
        """Whether the paired test finds one: the whole interval lies above 0."""
        return self.low > 0


def gain(before: Run, after: Run, trainings: Iterable[Run]) -> RoundGain:
    """Compare two models' verdicts on the instructions that both answered.

    Args:
        before: the held-out run of the model that a round began with.
        after: that of the model that it trained.
        trainings: every run that `after` was trained on.

    Raises:
        RunError: an instruction was trained on; or there is none that both answered.
    """
    rates, others = _rates(before), _rates(after)
    common = sorted(rates.keys() & others.keys())
    if not common:
        raise RunError(f"{after.folder}: has no verdicts on what {before.folder} was asked; bring their files back")
    seen = {row.instruction_id for training in trainings for row in training.rows(Preference)} & {*common}
    if seen:
        raise RunError(
            f"{after.folder}: {len(seen)} of its instructions were trained on, as {min(seen)}, and nothing is measured "
            "on them; begin anew with --run DIR"
        )
    differences = [others[name][0] - rates[name][0] for name in common]
    low, high = bootstrap_interval(differences)
    single = all(table[name][1] == 1 for table in (rates, others) for name in common)
    lost, won = (sum(difference * sign > 0 for difference in differences) for sign in (-1, 1))
    return RoundGain(
        instructions=len(common),
        ids=digest(*common),
        trained_on=len(seen),
        before=fmean(rates[name][0] for name in common),
        after=fmean(others[name][0] for name in common),
        gain=fmean(differences),
        low=low,
        high=high,
        p_value=mcnemar(lost, won) if single else None,
    )


def _rates(run: Run) -> dict[str, tuple[float, int]]:
    """Of each instruction the share of its samples that passed, and how many there are."""
    samples: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for verdict in run.rows(Verdict):
        samples[verdict.instruction_id] += 1
        passed[verdict.instruction_id] += verdict.status == "passed"
    return {name: (passed[name] / count, count) for name, count in samples.items()}
