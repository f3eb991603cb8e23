"""Views of one run's verdicts under different labelling rules: nothing is generated or judged again."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from plum_hub.pipeline.decontamination.stage import removed_ids
from plum_hub.pipeline.samples import prompt_of
from plum_hub.records import Drop, Instruction, Preference, Prompt, Sample, TestSuite, Verdict
from plum_hub.release.preferences import PreferencesConfig, preferences
from plum_hub.release.views import by_suite, pairs
from plum_hub.run import Run

RULES: Mapping[str, PreferencesConfig] = MappingProxyType({
    "plum": PreferencesConfig(),
    "margin": PreferencesConfig(max_passed=0.5),
    "near-miss": PreferencesConfig(min_passed=0.5),
    "non-executable": PreferencesConfig(rejected="non_executable"),
    "both": PreferencesConfig(rejected="both"),
    "deduplicated": PreferencesConfig(deduplicate=True),
    "capped": PreferencesConfig(deduplicate=True, max_per_label=4),
    "band": PreferencesConfig(min_pass_rate=0.1, max_pass_rate=0.9),
    "closest-pairs": PreferencesConfig(pairs="closest"),
})  # fmt: skip
"""Named rules: the paper's (section 3); rejected samples that pass at most, or at least, half of the cases; its
ablation with programs that do not execute (section 4.3), alone and beside failing ones; equal programs once; at most
four of each label; suites of medium difficulty; and DPO pairs by similarity."""


@dataclass(frozen=True, kw_only=True)
class RuleView:
    """What one rule makes of a run's verdicts."""

    rule: PreferencesConfig
    """The rule."""
    rows: tuple[Preference, ...]
    """Labelled samples, those of a suite next to one another."""
    left_out: Mapping[str, int]
    """Samples without a label, by reason."""

    @property
    def chosen(self) -> int:
        """Number of chosen samples."""
        return sum(row.label for row in self.rows)

    @property
    def rejected(self) -> int:
        """Number of rejected samples."""
        return len(self.rows) - self.chosen

    @property
    def instructions(self) -> int:
        """Number of instructions with a labelled sample."""
        return len({row.instruction_id for row in self.rows})

    @property
    def pairs(self) -> int:
        """Number of DPO pairs."""
        return sum(1 for rows in by_suite(self.rows, set()) for _ in pairs(rows, PreferencesConfig()))


def view_run(run: Run, rules: Mapping[str, PreferencesConfig] = RULES) -> Iterator[tuple[str, RuleView]]:
    """Label a run's samples under several rules.

    Args:
        run: A run whose samples are judged. Samples without a verdict are left out.
        rules: Rules by name.

    Yields:
        The name of each rule and its view.

    Raises:
        RunError: A file of the run is damaged.
    """
    removed = removed_ids(run)
    verdicts = {verdict.sample_id: verdict for verdict in run.rows(Verdict)}
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in run.rows(Sample):
        if sample.id in verdicts and sample.id not in removed:
            groups[sample.suite_id].append(sample)
    instructions = {row.id: row for row in run.rows(Instruction)}
    suites = {suite.id: suite for suite in run.rows(TestSuite)}
    prompts = {name: prompt_of(run.recipe, instructions[suites[name].instruction_id], suites[name]) for name in groups}
    for rule_name, rule in rules.items():
        rows: list[Preference] = []
        left_out: Counter[str] = Counter()
        for name, samples in groups.items():
            for row in preferences(samples, verdicts, partial(_shared_prompt, prompts[name]), rule):
                if isinstance(row, Drop):
                    left_out[row.reason] += 1
                else:
                    rows.append(row)
        yield rule_name, RuleView(rule=rule, rows=tuple(rows), left_out=dict(left_out.most_common()))


def _shared_prompt(prompt: Prompt, _: Sample) -> Prompt:
    """Return the prompt that all samples of a suite answer."""
    return prompt
