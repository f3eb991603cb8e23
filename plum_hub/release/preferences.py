"""The labelling rule of PLUM (arXiv 2406.06887), from verdicts to preferences.

It is a pure function of records, so labels can be recomputed at no cost. `passed` is chosen; `failed` and `timed_out`
are rejected; every other status means that the program could not be judged as a solution, and its sample is left out
(ARCHITECTURE.md, chapter 4). In the paper's ablation (section 4.3, Figure 3) only programs that do not execute are
rejected, against the same chosen ones. Every row that is left out becomes a `Drop` (law 6).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from plum_hub.records import Drop, Preference, Prompt, Sample, Status, Verdict, digest, digests_with
from plum_hub.refusal import SettingsModel
from plum_hub.release.program_form import program_form

STAGE = "preferences"
_FAILING: frozenset[Status] = frozenset({"failed", "timed_out"})
_NON_EXECUTABLE: frozenset[Status] = frozenset({"not_executable", "static_error", "syntax_error"})
Rejected: TypeAlias = Literal["failing", "non_executable", "both"]
_REJECTED: dict[Rejected, frozenset[Status]] = {
    "failing": _FAILING,
    "non_executable": _NON_EXECUTABLE,
    "both": _FAILING | _NON_EXECUTABLE,
}
_RULES: dict[Rejected, str] = {
    "failing": "plum",
    "non_executable": "plum-non-executable-only",
    "both": "plum-non-executable",  # the name from before there was a third rule, kept for the ids of its rows
}
_SELECTING = {
    "min_passed",
    "max_passed",
    "min_pass_rate",
    "max_pass_rate",
    "min_repeats",
    "deduplicate",
    "max_per_label",
}
"""Keys that select among labelled samples. They are part of a rule's name where they are not the default."""


class PreferencesConfig(SettingsModel):
    """The rule by which verdicts become preferences."""

    keep_truncated: bool = False
    """Whether to keep samples that were cut off at `max_tokens`."""

    rejected: Rejected = "failing"
    """What is rejected: `failing` programs (the paper's rule); `non_executable` ones alone, which do not load or which
    Python's compiler or mypy refuses (the paper's ablation, section 4.3); or `both`. The chosen ones are the same."""

    min_passed: float = Field(default=0.0, ge=0, le=1)
    """Smallest share of its suite's cases that a rejected sample passes; 0.5 keeps near misses only."""
    max_passed: float = Field(default=1.0, ge=0, le=1)
    """Largest share of its suite's cases that a rejected sample passes; 0.5 keeps a margin to the chosen ones."""
    min_pass_rate: float = Field(default=0.0, ge=0, le=1)
    """Smallest share of a suite's labelled samples that pass; suites below it are too hard, or wrong."""
    max_pass_rate: float = Field(default=1.0, ge=0, le=1)
    """Largest share of a suite's labelled samples that pass; suites above it are too easy, or too weak."""
    min_repeats: int = Field(default=1, ge=1)
    """Least number of chosen samples of a suite whose programs have the same syntax tree: with 2, a sample is chosen
    only if the policy wrote its program again. Wrong programs that pass a weak suite are seldom written twice."""
    deduplicate: bool = False
    """Whether samples of a suite and label whose programs have the same syntax tree count once."""
    max_per_label: int | None = Field(default=None, ge=1)
    """Largest number of samples of each label of a suite; which of them is drawn by `seed`."""
    pairs: Literal["random", "closest"] = "random"
    """How DPO's pairs are formed: at random, or each chosen sample with the most similar rejected one that is left."""
    seed: int = 0
    """Seed of the sub-sampling that balances the DPO pairs, and of `max_per_label`."""

    @model_validator(mode="after")
    def _ranges_hold_something(self) -> Self:
        for low, high in (("min_passed", "max_passed"), ("min_pass_rate", "max_pass_rate")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} {getattr(self, low)} is more than {high} {getattr(self, high)}; raise {high}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _read_former_key(cls, values: Any) -> Any:
        """Translate `non_executable`, which recipes of earlier releases have instead of `rejected`."""
        if not isinstance(values, dict) or not isinstance(former := values.get("non_executable"), bool):
            return values
        others = {key: value for key, value in values.items() if key != "non_executable"}
        return {"rejected": "both" if former else "failing", **others}

    def label(self, status: Status) -> bool | None:
        """Label a status.

        Args:
            status: The status of a verdict.

        Returns:
            True for chosen, False for rejected, None for no label.
        """
        return True if status == "passed" else False if status in _REJECTED[self.rejected] else None

    @property
    def rule(self) -> str:
        """The rule's name, part of the ids of its rows: another rule over the same verdicts makes other rows."""
        changed = self.model_dump(exclude_defaults=True, include=_SELECTING)
        if "max_per_label" in changed:
            changed["seed"] = self.seed
        return ";".join([_RULES[self.rejected], *(f"{key}={value}" for key, value in sorted(changed.items()))])


def preferences(
    samples: Iterable[Sample],
    verdicts: Mapping[str, Verdict],
    prompt: Callable[[Sample], Prompt],
    config: PreferencesConfig,
    form: Callable[[str], str] = program_form,
) -> Iterator[Preference | Drop]:
    """Label the samples of one suite.

    A suite that no sample passes may itself be wrong, so without a chosen sample none of its samples is kept
    (`no_chosen_sample`). A labelled sample that was cut off at `max_tokens` is dropped as `truncated`, whatever its
    label: the trainer appends an end-of-text token to every completion, so one that never ended by itself would teach
    the policy to stop in the middle of its answers. Truncated samples do not count as chosen ones. What is selected
    among the labelled samples is decided within the suite, so rows do not depend on other suites.

    Args:
        samples: All samples of one suite.
        verdicts: The verdict of each of them, by sample id.
        prompt: Returns the prompt that a sample answered.
        config: Which samples have a label, and whether truncated ones are kept.
        form: `program_form`, perhaps with a memory.

    Yields:
        One row for each sample, in the samples' order. The id of a `Drop` is the sample's; its reason is the verdict's
        status, `truncated`, `passed_share`, `pass_rate`, `not_repeated`, `duplicate`, `over_cap` or `no_chosen_sample`.

    Raises:
        KeyError: A sample has no verdict, because the stage before is incomplete.
    """
    judged = [(sample, verdicts[sample.id]) for sample in samples]
    reasons = [_reason(sample, verdict, config) for sample, verdict in judged]
    _select(judged, reasons, config, form)
    has_chosen = any(
        reason is None and config.label(verdict.status) for reason, (_, verdict) in zip(reasons, judged, strict=True)
    )
    id_of = digests_with(config.rule)
    for reason, (sample, verdict) in zip(reasons, judged, strict=True):
        label = config.label(verdict.status)
        if reason is None and has_chosen and label is not None:
            yield Preference(
                id=id_of(sample.id, verdict.id),
                instruction_id=sample.instruction_id,
                suite_id=sample.suite_id,
                sample_id=sample.id,
                verdict_id=verdict.id,
                prompt=prompt(sample),
                completion=sample.text,
                label=label,
            )
        else:
            yield Drop(
                id=sample.id,
                stage=STAGE,
                reason=reason or "no_chosen_sample",
                instruction_id=sample.instruction_id,
                detail=verdict.detail,
            )


def _reason(sample: Sample, verdict: Verdict, config: PreferencesConfig) -> str | None:
    """Return why a sample cannot have a label, whatever the other samples are; None if it can."""
    if config.label(verdict.status) is None:
        return verdict.status
    if sample.finish_reason == "length" and not config.keep_truncated:
        return "truncated"
    if verdict.status != "passed" and not config.min_passed <= _passed_share(verdict) <= config.max_passed:
        return "passed_share"
    return None


def _passed_share(verdict: Verdict) -> float:
    """Return the share of the suite's cases that a sample passes; 0 where none was run."""
    return sum(case.outcome == "passed" for case in verdict.cases) / max(1, len(verdict.cases))


def _select(
    judged: Sequence[tuple[Sample, Verdict]],
    reasons: list[str | None],
    config: PreferencesConfig,
    form: Callable[[str], str],
) -> None:
    """Fill in the reasons that depend on a suite's other samples: pass rate, repeats, duplicates, then the cap."""
    labelled = [number for number, reason in enumerate(reasons) if reason is None]
    labels = {number: bool(config.label(judged[number][1].status)) for number in labelled}
    rate = sum(labels.values()) / max(1, len(labelled))
    if not config.min_pass_rate <= rate <= config.max_pass_rate:
        for number in labelled:
            reasons[number] = "pass_rate"
        return
    if config.min_repeats > 1 or config.deduplicate:
        programs = {number: (labels[number], form(judged[number][0].code or "")) for number in labelled}
        _select_by_program(programs, reasons, config)
    if config.max_per_label is not None:
        for label in (True, False):
            left = [number for number in labelled if labels[number] is label and reasons[number] is None]
            left.sort(key=lambda number: digest(config.seed, judged[number][0].id))
            for number in left[config.max_per_label :]:
                reasons[number] = "over_cap"


def _select_by_program(
    programs: Mapping[int, tuple[bool, str]], reasons: list[str | None], config: PreferencesConfig
) -> None:
    """Fill in the reasons that depend on how often a suite's samples are the same program, by label and form."""
    counts, seen = Counter(programs.values()), set[tuple[bool, str]]()
    for number, program in programs.items():
        is_chosen, _ = program
        if is_chosen and counts[program] < config.min_repeats:
            reasons[number] = "not_repeated"
        elif config.deduplicate and program in seen:
            reasons[number] = "duplicate"
        seen.add(program)
