"""How well suites tell samples apart, from verdicts alone: nothing is run."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from plum_hub.records import Verdict


@dataclass(frozen=True, kw_only=True)
class SuiteDiscrimination:
    """What the verdicts on a suite's samples say about the suite."""

    suite_id: str
    samples: int
    passed: int
    """Samples that passed every case."""
    dual_agreement: float
    """Dual agreement, from 0 to 1: (samples x cases) of the best consensus set, divided by all samples x all cases."""

    @property
    def pass_rate(self) -> float:
        """Share of the samples that passed every case. At 0 and at 1 the suite gives no preference."""
        return self.passed / self.samples


def discrimination(verdicts: Iterable[Verdict]) -> Iterator[SuiteDiscrimination]:
    """Compute the pass rate and the dual agreement of every suite.

    A consensus set is all samples that pass the same cases, and its score is the number of these samples times the
    number of these cases (CodeT: Chen et al., 2022, arXiv 2207.10397, section 2.2). A high agreement says that many
    samples pass many cases; a low one that samples and cases contradict each other, so that either may be wrong.

    Args:
        verdicts: Verdicts with a result for every case, as of `Run.rows(Verdict)`. Programs that did not run pass no
            case.

    Yields:
        One entry for each suite, in the order of their first verdicts.
    """
    sets: dict[str, Counter[tuple[int, ...]]] = {}
    cases: dict[str, int] = {}
    passed: Counter[str] = Counter()
    for verdict in verdicts:
        agreed = tuple(place for place, case in enumerate(verdict.cases) if case.outcome == "passed")
        sets.setdefault(verdict.suite_id, Counter())[agreed] += 1
        cases[verdict.suite_id] = len(verdict.cases)
        passed[verdict.suite_id] += verdict.status == "passed"
    for suite_id, counts in sets.items():
        best = max(samples * len(agreed) for agreed, samples in counts.items())
        whole = counts.total() * cases[suite_id]
        yield SuiteDiscrimination(
            suite_id=suite_id,
            samples=counts.total(),
            passed=passed[suite_id],
            dual_agreement=best / whole if whole else 0.0,
        )
