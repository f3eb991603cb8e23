"""The analysis of `scripts/label-truth`: how true the labels of each rule are, from raw verdicts alone."""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from plum_hub.pipeline.rule_views import RULES
from plum_hub.records import CaseOutcome, Preference, Sample, Verdict, digest
from plum_hub.release.preferences import PreferencesConfig, preferences


class Strengthening(NamedTuple):
    """How suites get further cases."""

    suites: str
    """Which suites: `best` or `vote`."""
    most: int
    """`suites.strengthen`."""
    by: str
    """`suites.strengthen_by`, or `samples` as of `plum-hub strengthen --by samples`."""


STRENGTHENED = {
    "best+5": Strengthening("best", 5, "mutants"),
    "best+60": Strengthening("best", 60, "inputs"),
    "vote+60": Strengthening("vote", 60, "inputs"),
    "best+5 by samples": Strengthening("best", 5, "samples"),
}
"""Suites with further cases. Not every folder of raw verdicts has all of them."""
REPEATED = RULES["repeated"]
"""Chosen are programs that the policy wrote more than once."""
REPEATED_IN = ("best", "best+60")
"""Suites for which the gain of `REPEATED` is stated."""
DRAWS = 2000
"""Resamples of an interval."""
LEAST_YIELD = 0.5
"""Share of the paper's chosen samples that a rule must keep: one that keeps few is tuned to those few."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite, and what is known of it without the gold tests."""

    id: str
    problem: str
    made_by: str
    """`best`: the self-consistent suite with the most cases (the paper's way); `vote`: as `suites.vote` merges all; or
    a key of `STRENGTHENED`."""
    cases: int
    self_consistent: int
    """Responses to this problem that were self-consistent."""
    voters: int
    """Responses whose references voted; 0 if no suite came of the vote."""
    mutation_score: float | None
    statement_coverage: float | None
    branch_coverage: float | None
    accepts_gold: bool
    """Whether the benchmark's own solution passes this suite."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One sample's verdicts by one suite and by the gold tests."""

    sample: Sample
    verdict: Verdict
    gold: bool


JudgedSamples = Mapping[tuple[str, str], Sequence[Judged]]
"""Samples by problem and `made_by`."""


class Part(NamedTuple):
    """Some of the problems."""

    name: str
    """`A` (to tune on), `B`, `both`, or `unseen` for problems that were judged after all rules were made."""
    suites: Sequence[Suite]
    judged: JudgedSamples

    @property
    def made_by(self) -> list[str]:
        """How its suites were made, each once."""
        return list(dict.fromkeys(suite.made_by for suite in self.suites))


@dataclass(frozen=True, kw_only=True)
class Truth:
    """How true the labels of one rule are."""

    problems: int
    """Problems with a labelled sample."""
    chosen: int
    right_chosen: int
    """Chosen samples that pass the gold tests."""
    rejected: int
    right_rejected: int
    """Rejected samples that fail them."""
    gold: int
    """Samples that pass the gold tests, labelled or not."""
    wrong: int
    """Samples that fail them, labelled or not."""

    @property
    def precision(self) -> float:
        """Share of the chosen samples that pass the gold tests; 0 without any."""
        return self.right_chosen / self.chosen if self.chosen else 0.0

    def row(self) -> str:
        """Return the cells of the table."""
        cells = (
            self.problems,
            self.chosen,
            _percent(self.right_chosen, self.chosen),
            _percent(self.right_chosen, self.gold),
            self.rejected,
            _percent(self.right_rejected, self.rejected),
            _percent(self.right_rejected, self.wrong),
        )
        return " | ".join(map(str, cells))


_CELLS = ("problems", "chosen", "precision", "recall", "rejected", "precision", "recall")


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A rule over verdicts, and the evidence that a suite must have."""

    made_by: str = "best"
    rule: PreferencesConfig = field(default_factory=PreferencesConfig)
    min_cases: int = 0
    min_mutation: float = 0.0
    min_voters: int = 0

    def keeps(self, suite: Suite) -> bool:
        """Tell whether a suite has enough evidence.

        Args:
            suite: The suite.

        Returns:
            Whether its samples are labelled.
        """
        return (
            suite.made_by == self.made_by
            and suite.cases >= self.min_cases
            and (suite.mutation_score or 0.0) >= self.min_mutation
            and suite.voters >= self.min_voters
        )

    def __str__(self) -> str:
        """Name what differs from the paper's rule."""
        parts = [] if self.made_by == "best" else [f"suites {self.made_by}"]
        for name, value in (
            ("cases", self.min_cases),
            ("mutation score", self.min_mutation),
            ("voters", self.min_voters),
        ):
            parts += [f"{name} >= {value:g}"] if value else []
        parts += [f"{name} {value}" for name, value in self.rule.model_dump(exclude_defaults=True).items()]
        return ", ".join(parts) or "plum (the paper's)"


def filters() -> dict[str, Filter]:
    """List what is compared.

    Returns:
        Filters by name: every view of `plum-hub views` over the paper's suites, and each kind of evidence alone.
    """
    rules = {name: Filter(rule=rule) for name, rule in RULES.items() if rule.pairs == "random"}
    paper = rules.pop("plum")
    evidence = [
        *(Filter(made_by=name) for name in ("vote", *STRENGTHENED)),
        *(Filter(made_by=name, rule=PreferencesConfig(max_passed=0.5)) for name in ("best+60", "vote+60")),
        *(Filter(made_by=name, rule=REPEATED) for name in ("best+60", "vote+60")),
        *(
            Filter(made_by="best+60", rule=REPEATED.model_copy(update=more))
            for more in ({"max_passed": 0.5}, {"deduplicate": True})
        ),
        Filter(made_by="vote", min_voters=2),
        Filter(made_by="vote", min_voters=3),
        Filter(min_cases=5),
        *(Filter(min_mutation=least) for least in (0.5, 0.8, 0.9)),
        *(Filter(rule=PreferencesConfig(min_pass_rate=least)) for least in (0.2, 0.3, 0.5)),
    ]
    return (
        {str(paper): paper}
        | {f"view {name}": rule for name, rule in rules.items()}
        | {str(one): one for one in evidence}
    )


def candidates() -> Iterator[Filter]:
    """Yield every combination of evidence that `tune` tries."""
    for made_by, cases, mutation, voters, rate in product(
        ("best", "vote", *STRENGTHENED),
        (0, 4, 5, 6, 8),
        (0.0, 0.5, 0.7, 0.8, 0.9),
        (0, 2, 3),
        tuple(rate / 10 for rate in range(9)),
    ):
        rule = PreferencesConfig(min_pass_rate=rate)
        yield Filter(made_by=made_by, min_cases=cases, min_mutation=mutation, min_voters=voters, rule=rule)


def half(problem: str) -> int:
    """Assign a problem to a half.

    Args:
        problem: Its id.

    Returns:
        0 to tune on, 1 to be run once.
    """
    return int(digest("label-truth", problem), 16) % 2


def truth_of(rule: Filter, suites: Iterable[Suite], judged: JudgedSamples) -> Truth:
    """Compare the labels of a rule with the gold tests.

    Args:
        rule: The rule.
        suites: All suites.
        judged: The samples.

    Returns:
        The counts.
    """
    counts: Counter[str] = Counter()
    labelled = set()
    for suite in suites:
        rows = judged.get((suite.problem, suite.made_by), ())
        if suite.made_by == "best":  # every problem with samples has one
            counts.update(gold=sum(row.gold for row in rows), wrong=sum(not row.gold for row in rows))
        if not rule.keeps(suite):
            continue
        verdicts = {row.sample.id: row.verdict for row in rows}
        passes = {row.sample.id: row.gold for row in rows}
        for label in preferences([row.sample for row in rows], verdicts, lambda _: "", rule.rule):
            if isinstance(label, Preference):
                labelled.add(suite.problem)
                name = "chosen" if label.label else "rejected"
                counts.update({name: 1, f"right_{name}": passes[label.sample_id] == label.label})
    keys = ("chosen", "right_chosen", "rejected", "right_rejected", "gold", "wrong")
    return Truth(problems=len(labelled), **{key: counts[key] for key in keys})


def tune(suites: Sequence[Suite], judged: JudgedSamples, goal: float) -> Filter:
    """Find the rule that keeps most chosen samples at a precision.

    Args:
        suites: The suites of the half to tune on.
        judged: The samples.
        goal: Least precision of `chosen`.

    Returns:
        Among the rules that keep `LEAST_YIELD` of the paper's chosen samples: the one that keeps most at the goal, or
        else the most precise.
    """
    found = [(truth_of(one, suites, judged), one) for one in candidates()]
    least = LEAST_YIELD * truth_of(Filter(), suites, judged).chosen
    enough = [(truth, one) for truth, one in found if truth.chosen >= least]
    reaching = [(truth, one) for truth, one in enough if truth.precision >= goal]
    if reaching:  # the first of equals, which has the fewest conditions
        return max(reaching, key=lambda pair: pair[0].chosen)[1]
    return max(enough, key=lambda pair: pair[0].precision)[1]


def read(results: Path) -> tuple[list[Suite], dict[tuple[str, str], list[Judged]]]:
    """Read the raw verdicts.

    Args:
        results: The folder of `suites.jsonl` and `samples.jsonl`.

    Returns:
        The suites, and the samples.
    """
    suites = [Suite(**row) for row in _rows(results / "suites.jsonl")]
    judged: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for row in _rows(results / "samples.jsonl"):
        name, problem = row["id"], row["problem"]
        sample = Sample(
            id=name, instruction_id=problem, suite_id="", index=0, seed=0, prompt_digest="", text="",
            code=f"form_{row['form']}", finish_reason=row["finish_reason"], prompt_tokens=0, completion_tokens=0,
            engine="",
        )  # fmt: skip
        for made_by, (status, passed) in row["verdicts"].items():
            cases = tuple(CaseOutcome(outcome="passed" if one == "1" else "wrong") for one in passed)
            verdict = Verdict(
                id=name, sample_id=name, suite_id="", instruction_id=problem, status=status, cases=cases, detail="",
                cpu_seconds=None, peak_memory_mb=None,
            )  # fmt: skip
            judged[problem, made_by].append(Judged(sample=sample, verdict=verdict, gold=row["gold"]))
    return suites, judged


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def table(results: Path, unseen: Path, goal: float) -> None:
    """Print the truth of every view and filter on each part of the problems, and intervals for some.

    Args:
        results: The folder of the raw verdicts, whose problems are halved.
        unseen: The folder of verdicts on further problems, which no rule was chosen by. It may be absent.
        goal: Precision of `chosen` that the tuned rule must reach on the half to tune on.
    """
    suites, judged = read(results)
    halves = [[suite for suite in suites if half(suite.problem) == number] for number in (0, 1)]
    parts = [Part("A", halves[0], judged), Part("B", halves[1], judged)]
    if unseen.is_dir():
        parts.append(Part("unseen", *read(unseen)))
    for part in parts:
        for made_by in part.made_by:
            mine = [suite for suite in part.suites if suite.made_by == made_by]
            right = sum(suite.accepts_gold for suite in mine)
            print(f"{part.name}: {len(mine)} suites {made_by}; the benchmark's own solution passes {right} of them")
    tuned = tune(halves[0], judged, goal)
    tuned_name = f"tuned on A: {tuned}"
    print(f"\n| rule | half | {' | '.join(_CELLS)} |\n|---|---|{'---:|' * len(_CELLS)}")
    for name, one in {**filters(), tuned_name: tuned}.items():
        for part in parts:
            if one.made_by in part.made_by:
                print(f"| {name} | {part.name} | {truth_of(one, part.suites, part.judged).row()} |")
    gaining = [Filter(made_by=name) for name in ("best", "vote", *STRENGTHENED)]
    gaining += [Filter(made_by=name, rule=REPEATED) for name in REPEATED_IN]
    parts.insert(2, Part("both", suites, judged))
    print_gains({**{str(one): one for one in gaining}, tuned_name: tuned}, parts)


def print_gains(rules: Mapping[str, Filter], parts: Sequence[Part]) -> None:
    """Print the precision of `chosen` and its gain over the paper's rule, with intervals of 95 %.

    Problems are drawn again with replacement, since the labels of one problem are not independent; both rules are
    compared on the same draw.

    Args:
        rules: The rules by name.
        parts: The parts of the problems.
    """
    print("\n| rule | half | precision of chosen, 95 % | points over the paper's rule, 95 % |\n|---|---|---:|---:|")
    for name, rule in rules.items():
        for part in parts:
            if rule.made_by not in part.made_by:
                continue
            counts = [_chosen_by_problem(one, part.suites, part.judged) for one in (Filter(), rule)]
            problems = sorted({suite.problem for suite in part.suites})
            draw = random.Random(0)
            pairs = [_precisions(counts, draw.choices(problems, k=len(problems))) for _ in range(DRAWS)]
            paper, own = _precisions(counts, problems)
            low, high = _middle([pair[1] for pair in pairs])
            least, most = _middle([pair[1] - pair[0] for pair in pairs])
            print(
                f"| {name} | {part.name} | {own:.1%} ({low:.1%} to {high:.1%}) | "
                f"{100 * (own - paper):+.1f} ({100 * least:+.1f} to {100 * most:+.1f}) |"
            )


def _chosen_by_problem(rule: Filter, suites: Sequence[Suite], judged: JudgedSamples) -> dict[str, tuple[int, int]]:
    """Return the chosen samples of each problem, and how many of them are right."""
    mine = [suite for suite in suites if suite.made_by == rule.made_by]
    truths = {suite.problem: truth_of(rule, [suite], judged) for suite in mine}
    return {problem: (truth.chosen, truth.right_chosen) for problem, truth in truths.items()}


def _precisions(counts: Sequence[Mapping[str, tuple[int, int]]], problems: Sequence[str]) -> list[float]:
    found = []
    for by_problem in counts:
        chosen, right = (sum(column) for column in zip(*(by_problem.get(one, (0, 0)) for one in problems), strict=True))
        found.append(right / chosen if chosen else 0.0)
    return found


def _middle(values: Sequence[float]) -> tuple[float, float]:
    """Return the bounds of the middle 95 %."""
    ordered = sorted(values)
    cut = len(ordered) // 40
    return ordered[cut], ordered[-1 - cut]
