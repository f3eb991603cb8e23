"""The labelling rule of PLUM (arXiv 2406.06887), from verdicts to preferences.

It is a pure function of records, so labels can be recomputed at no cost. `passed` is chosen; `failed` and `timed_out`
are rejected; every other status means that the program could not be judged as a solution, and its sample is left out
(ARCHITECTURE.md, chapter 4). In the paper's ablation (section 4.3, Figure 3) only programs that do not execute are
rejected, against the same chosen ones. Every row that is left out becomes a `Drop` (law 6).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, model_validator

from plum_hub.records import Drop, Preference, Prompt, Sample, Status, Verdict, digest

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


class PreferencesConfig(BaseModel):
    """The rule by which verdicts become preferences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep_truncated: bool = False
    """Whether to keep samples that were cut off at `max_tokens`."""

    rejected: Rejected = "failing"
    """What is rejected: `failing` programs (the paper's rule); `non_executable` ones alone, which do not load or which
    Python's compiler or mypy refuses (the paper's ablation, section 4.3); or `both`. The chosen ones are the same."""

    seed: int = 0
    """Seed of the sub-sampling that balances the DPO pairs."""

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
        return _RULES[self.rejected]


def preferences(
    samples: Iterable[Sample],
    verdicts: Mapping[str, Verdict],
    prompt: Callable[[Sample], Prompt],
    config: PreferencesConfig,
) -> Iterator[Preference | Drop]:
    """Label the samples of one suite.

    A suite that no sample passes may itself be wrong, so without a chosen sample none of its samples is kept
    (`no_chosen_sample`). A labelled sample that was cut off at `max_tokens` is dropped as `truncated`, whatever its
    label: the trainer appends an end-of-text token to every completion, so one that never ended by itself would teach
    the policy to stop in the middle of its answers. Truncated samples do not count as chosen ones.

    Args:
        samples: All samples of one suite.
        verdicts: The verdict of each of them, by sample id.
        prompt: Returns the prompt that a sample answered.
        config: Which samples have a label, and whether truncated ones are kept.

    Yields:
        One row for each sample, in the samples' order. The id of a `Drop` is the sample's; its reason is the verdict's
        status, `truncated` or `no_chosen_sample`.

    Raises:
        KeyError: A sample has no verdict, because the stage before is incomplete.
    """
    judged = [(sample, verdicts[sample.id]) for sample in samples]
    reasons = [_reason(sample, verdict, config) for sample, verdict in judged]
    has_chosen = any(
        reason is None and config.label(verdict.status) for reason, (_, verdict) in zip(reasons, judged, strict=True)
    )
    for reason, (sample, verdict) in zip(reasons, judged, strict=True):
        if reason is None and has_chosen:
            yield _preference(sample, verdict, prompt(sample), config)
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
    return None


def _preference(sample: Sample, verdict: Verdict, prompt: Prompt, config: PreferencesConfig) -> Preference:
    label = config.label(verdict.status)
    assert label is not None
    return Preference(
        id=digest(sample.id, verdict.id, config.rule),
        instruction_id=sample.instruction_id,
        suite_id=sample.suite_id,
        sample_id=sample.id,
        verdict_id=verdict.id,
        prompt=prompt,
        completion=sample.text,
        label=label,
    )
