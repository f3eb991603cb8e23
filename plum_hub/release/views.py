"""Preferences as the rows that TRL's trainers read: KTO (unpaired), DPO (paired), SFT (chosen only). Pure functions.

A prompt that is a conversation gives TRL's conversational format, where a completion is a list with one assistant
message; a plain prompt gives plain strings.
"""

import random
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol, TypeAlias, TypeVar

from plum_hub.records import Message, Preference, digest

Row: TypeAlias = dict[str, Any]


class LabelledRow(Protocol):
    """What of a preference decides about its pair."""

    @property
    def instruction_id(self) -> str: ...
    @property
    def suite_id(self) -> str: ...
    @property
    def sample_id(self) -> str: ...
    @property
    def label(self) -> bool: ...


LabelledT = TypeVar("LabelledT", bound=LabelledRow)


def kto_rows(preferences: Iterable[Preference]) -> Iterator[Row]:
    """Each preference as one row of TRL's unpaired preference format."""
    for preference in preferences:
        yield {
            "prompt": preference.prompt,
            "completion": _completion(preference),
            "label": preference.label,
            "instruction_id": preference.instruction_id,
            "sample_id": preference.sample_id,
        }


def sft_rows(preferences: Iterable[Preference]) -> Iterator[Row]:
    """Each chosen preference as one row of TRL's prompt-completion format."""
    for preference in preferences:
        if preference.label:
            yield {
                "prompt": preference.prompt,
                "completion": _completion(preference),
                "instruction_id": preference.instruction_id,
                "sample_id": preference.sample_id,
            }


def dpo_rows(preferences: Iterable[Preference], seed: int) -> Iterator[Row]:
    """Balanced pairs: for each suite min(#chosen, #rejected) of them, every sample at most once.

    Pairs are made within a suite, because all its samples answer one and the same prompt. Which samples pair is drawn
    from `seed` and the ids alone, so it depends neither on the order of a suite's rows nor on the other suites.

    Raises:
        ValueError: as `by_suite`.
    """
    for rows in by_suite(preferences, set()):
        for better, worse in pairs(rows, seed):
            yield {
                "prompt": better.prompt,
                "chosen": _completion(better),
                "rejected": _completion(worse),
                "instruction_id": better.instruction_id,
                "chosen_sample_id": better.sample_id,
                "rejected_sample_id": worse.sample_id,
            }


def by_suite(preferences: Iterable[LabelledT], seen: set[str]) -> Iterator[list[LabelledT]]:
    """The rows of one suite after the other, holding one suite in memory at a time.

    Args:
        preferences: the rows.
        seen: the suites that were there before; these are added.

    Raises:
        ValueError: the rows of a suite are not next to one another, so that its pairs would not be balanced.
    """
    for suite_id, rows in groupby(preferences, key=attrgetter("suite_id")):
        if suite_id in seen:
            raise ValueError(f"the preferences of suite {suite_id} are not next to one another: group them by suite")
        seen.add(suite_id)
        yield list(rows)


def pairs(rows: Iterable[LabelledT], seed: int) -> Iterator[tuple[LabelledT, LabelledT]]:
    """The pairs of one suite, the chosen row first."""
    ordered = sorted(rows, key=attrgetter("sample_id"))
    chosen = [row for row in ordered if row.label]
    rejected = [row for row in ordered if not row.label]
    draw = random.Random(digest(seed, ordered[0].instruction_id, ordered[0].suite_id))
    size = min(len(chosen), len(rejected))
    yield from zip(draw.sample(chosen, size), draw.sample(rejected, size), strict=True)


def _completion(preference: Preference) -> str | list[Message]:
    if isinstance(preference.prompt, str):
        return preference.completion
    return [{"role": "assistant", "content": preference.completion}]
