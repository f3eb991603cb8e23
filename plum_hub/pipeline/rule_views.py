"""Views of one run's verdicts under different labelling rules: nothing is generated or judged again."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from plum_hub.pipeline.asked import prompts_of
from plum_hub.pipeline.decontamination.stage import removed_ids
from plum_hub.pipeline.gold import GoldAgreement, truth_of_label
from plum_hub.records import Drop, Preference, Prompt, Sample, Verdict
from plum_hub.release.preferences import PreferencesConfig, preferences
from plum_hub.release.program_form import program_form
from plum_hub.release.views import by_suite, pairs
from plum_hub.run import Run

RULES: Mapping[str, PreferencesConfig] = MappingProxyType({
    "plum": PreferencesConfig(),
    "margin": PreferencesConfig(max_passed=0.5),
    "near-miss": PreferencesConfig(min_passed=0.5),
    "non-executable": PreferencesConfig(rejected="non_executable"),
    "both": PreferencesConfig(rejected="both"),
    "repeated": PreferencesConfig(min_repeats=2),
    "deduplicated": PreferencesConfig(deduplicate=True),
    "capped": PreferencesConfig(deduplicate=True, max_per_label=4),
    "band": PreferencesConfig(min_pass_rate=0.1, max_pass_rate=0.9),
    "closest-pairs": PreferencesConfig(pairs="closest"),
})  # fmt: skip
"""Named rules: the paper's (section 3); rejected samples that pass at most, or at least, half of the cases; its
ablation with programs that do not execute (section 4.3), alone and beside failing ones; chosen programs that the policy
wrote more than once; equal programs once; at most four of each label; suites of medium difficulty; and DPO pairs by
similarity."""


@dataclass(kw_only=True)
class RuleView:
    """What one rule makes of a run's verdicts."""

    rule: PreferencesConfig
    """The rule."""
    chosen: int = 0
    """Number of chosen samples."""
    rejected: int = 0
    """Number of rejected samples."""
    instructions: int = 0
    """Number of instructions with a labelled sample."""
    pairs: int = 0
    """Number of DPO pairs."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Samples without a label, by reason."""
    truth: Mapping[bool, GoldAgreement] | None = None
    """How true the chosen (True) and the rejected samples (False) are; None without gold verdicts."""
    _agreeing: dict[bool, dict[str, list[int]]] = field(default_factory=lambda: {True: {}, False: {}}, repr=False)
    """By label and instruction: samples whose gold verdict agrees, and all with one."""

    def count(self, rows: Iterable[Preference | Drop], gold: Mapping[str, bool]) -> None:
        """Count the rows of whole instructions.

        Args:
            rows: What the rule makes of their samples, those of a suite next to one another.
            gold: Whether samples pass the gold tests, by id.
        """
        kept = []
        for row in rows:
            if isinstance(row, Drop):
                self.left_out[row.reason] += 1
            else:
                kept.append(row)
        for row in kept:
            if row.sample_id in gold:
                counts = self._agreeing[row.label].setdefault(row.instruction_id, [0, 0])
                counts[0] += gold[row.sample_id] == row.label
                counts[1] += 1
        chosen = sum(row.label for row in kept)
        self.chosen += chosen
        self.rejected += len(kept) - chosen
        self.instructions += len({row.instruction_id for row in kept})
        self.pairs += sum(1 for group in by_suite(kept, set()) for _ in pairs(group, PreferencesConfig()))

    def compare(self, relevant: Mapping[bool, int]) -> None:
        """Summarize how true the labels are, when all rows are counted.

        Args:
            relevant: Judged samples that pass the gold tests (True), and those that do not (False).
        """
        self.truth = {
            label: truth_of_label(((right, of) for right, of in counts.values()), relevant[label])
            for label, counts in self._agreeing.items()
        }


def view_run(
    run: Run, rules: Mapping[str, PreferencesConfig] = RULES, gold: Mapping[str, bool] | None = None
) -> dict[str, RuleView]:
    """Label a run's samples under several rules, and count the rows. One shard is in memory at a time.

    Args:
        run: A run whose samples are judged. Samples without a verdict are left out.
        rules: Rules by name.
        gold: Whether samples pass better tests, by id. Samples without such a verdict do not count for `truth`.

    Returns:
        The view of each rule, by its name.

    Raises:
        RunError: A file of the run is damaged.
    """
    views = {name: RuleView(rule=rule) for name, rule in rules.items()}
    known, relevant = gold or {}, Counter[bool]()
    for judged in _judged(run):
        relevant.update(
            known[sample.id] for samples in judged.groups.values() for sample in samples if sample.id in known
        )
        for view in views.values():
            view.count(judged.labelled(view.rule), known)
    for view in views.values():
        view.left_out = Counter(dict(view.left_out.most_common()))
        if gold is not None:
            view.compare(relevant)
    return views


def labelled_rows(run: Run, rule: PreferencesConfig) -> Iterator[Preference]:
    """Label a run's samples under one rule.

    Args:
        run: As for `view_run`.
        rule: The rule.

    Yields:
        Labelled samples, those of a suite next to one another.

    Raises:
        RunError: A file of the run is damaged.
    """
    for judged in _judged(run):
        yield from (row for row in judged.labelled(rule) if isinstance(row, Preference))


@dataclass(frozen=True)
class _JudgedSamples:
    """The samples of a shard, by suite, with all that labels them."""

    groups: Mapping[str, list[Sample]]
    verdicts: Mapping[str, Verdict]
    prompt_of: Callable[[str], Prompt]
    """Gives the prompt of a suite's samples."""
    form: Callable[[str], str] = field(default_factory=lambda: cache(program_form))
    """Remembers the forms of programs, which several rules compare."""

    def labelled(self, rule: PreferencesConfig) -> Iterator[Preference | Drop]:
        for samples in self.groups.values():
            yield from preferences(samples, self.verdicts, lambda one: self.prompt_of(one.suite_id), rule, self.form)


def _judged(run: Run) -> Iterator[_JudgedSamples]:
    """Yield the judged samples of each shard."""
    removed = removed_ids(run)
    for shard in run.shards:
        verdicts = {verdict.sample_id: verdict for verdict in shard.rows(Verdict)}
        groups: dict[str, list[Sample]] = defaultdict(list)
        for sample in shard.rows(Sample):
            if sample.id in verdicts and sample.id not in removed:
                groups[sample.suite_id].append(sample)
        yield _JudgedSamples(groups, verdicts, prompts_of(shard, groups))
