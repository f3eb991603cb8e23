"""The paper's rule, from verdicts to labels: a pure function of records, so that it is re-made at no cost.

`passed` is chosen; `failed` and `timed_out` are rejected; every other status says that the program could not be judged
as a solution, and its sample is left out (ARCHITECTURE.md, chapter 4). In the paper's ablation (section 4.3, Figure 3)
only programs that do not execute are rejected, beside the same chosen ones. Every row left out is a `Drop` (law 6).
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
    "both": "plum-non-executable",  # the name that its rows had when it was the only other rule
}


class PreferencesConfig(BaseModel):
    """How verdicts become preferences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep_truncated: bool = False
    """Whether to keep samples that reached `max_tokens` before they ended."""

    rejected: Rejected = "failing"
    """What is rejected: `failing` programs (the paper's rule); `non_executable` ones alone, which do not load or which
    Python's compiler or mypy refuses (the paper's ablation, section 4.3); or `both`. The chosen ones are the same."""

    seed: int = 0
    """Seed of the sub-sampling that balances the DPO pairs."""

    @model_validator(mode="before")
    @classmethod
    def _read_former_key(cls, values: Any) -> Any:
        """Read `non_executable`, which recipes of earlier releases have instead of `rejected`."""
        if not isinstance(values, dict) or not isinstance(former := values.get("non_executable"), bool):
            return values
        others = {key: value for key, value in values.items() if key != "non_executable"}
        return {"rejected": "both" if former else "failing", **others}

    def label(self, status: Status) -> bool | None:
        """True for chosen, False for rejected, None for a sample that gets no label."""
        return True if status == "passed" else False if status in _REJECTED[self.rejected] else None

    @property
    def rule(self) -> str:
        """Names the rule in the ids of its rows; another rule over the same verdicts makes other rows."""
        return _RULES[self.rejected]


def preferences(
    samples: Iterable[Sample],
    verdicts: Mapping[str, Verdict],
    prompt: Callable[[Sample], Prompt],
    config: PreferencesConfig,
) -> Iterator[Preference | Drop]:
    """Label the samples of one suite.

    A suite that no sample passes may itself be wrong, so without a chosen sample none of its samples is kept
    (`no_chosen_sample`). A labelled sample that was cut at `max_tokens` is dropped as `truncated`, whatever its label:
    the trainer puts an end-of-text token behind every completion, and a completion that never ended of itself would
    teach the policy not to finish its answers. Truncated samples do not count as chosen ones.

    Args:
        samples: all samples of one suite.
        verdicts: the verdict of each of them, by sample id.
        prompt: gives the prompt that a sample answered.
        config: which samples have a label, and whether truncated ones are kept.

    Yields:
        One row for each sample, in the samples' order. A Drop's id is the sample's; its reason is the verdict's status,
        `truncated` or `no_chosen_sample`.

    Raises:
        KeyError: a sample has no verdict; the stage before is not complete.
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
    """Why this sample can carry no label, seen alone."""
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
