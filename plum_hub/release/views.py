"""Preferences in the formats of TRL's trainers: KTO (unpaired), DPO (paired), SFT (chosen only). Pure functions.

A prompt that is a conversation gives TRL's conversational format, in which a completion is a list with one assistant
message; a plain prompt gives plain strings (https://huggingface.co/docs/trl/dataset_formats).
"""

import random
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol, TypeAlias, TypeVar

from plum_hub.records import Message, Preference, digest
from plum_hub.release.preferences import PreferencesConfig

Row: TypeAlias = dict[str, Any]
"""One row of a view, by column name."""


class _LabelledRow(Protocol):
    """The fields of a preference that decide its pair."""

    @property
    def instruction_id(self) -> str:
        """Id of the instruction."""

    @property
    def suite_id(self) -> str:
        """Id of the test suite."""

    @property
    def sample_id(self) -> str:
        """Id of the sample."""

    @property
    def label(self) -> bool:
        """True for chosen, False for rejected."""

    @property
    def completion(self) -> str:
        """Text of the completion."""


_LabelledT = TypeVar("_LabelledT", bound=_LabelledRow)


def kto_rows(preferences: Iterable[Preference]) -> Iterator[Row]:
    """Convert preferences to TRL's unpaired preference format.

    Args:
        preferences: Chosen and rejected samples.

    Yields:
        One row for each.
    """
    for preference in preferences:
        yield {
            "prompt": preference.prompt,
            "completion": _completion(preference),
            "label": preference.label,
            "instruction_id": preference.instruction_id,
            "sample_id": preference.sample_id,
        }


def sft_rows(preferences: Iterable[Preference]) -> Iterator[Row]:
    """Convert the chosen preferences to TRL's prompt-completion format.

    Args:
        preferences: Chosen and rejected samples.

    Yields:
        One row for each chosen one.
    """
    for preference in preferences:
        if preference.label:
            yield {
                "prompt": preference.prompt,
                "completion": _completion(preference),
                "instruction_id": preference.instruction_id,
                "sample_id": preference.sample_id,
            }


def dpo_rows(preferences: Iterable[Preference], config: PreferencesConfig) -> Iterator[Row]:
    """Convert preferences to balanced pairs in TRL's preference format.

    Each suite gives min(#chosen, #rejected) pairs, with every sample in at most one. Pairs are formed within a suite,
    because all its samples answer the same prompt. The pairing depends on `config` and the rows alone, neither on the
    order of a suite's rows nor on other suites.

    Args:
        preferences: Chosen and rejected samples, those of a suite next to one another.
        config: How pairs are formed, and the seed of the sampling.

    Yields:
        One row for each pair.

    Raises:
        ValueError: The rows of a suite are not next to one another.
    """
    for rows in by_suite(preferences, set()):
        for chosen, rejected in pairs(rows, config):
            yield {
                "prompt": chosen.prompt,
                "chosen": _completion(chosen),
                "rejected": _completion(rejected),
                "instruction_id": chosen.instruction_id,
                "chosen_sample_id": chosen.sample_id,
                "rejected_sample_id": rejected.sample_id,
            }


def by_suite(preferences: Iterable[_LabelledT], seen: set[str]) -> Iterator[list[_LabelledT]]:
    """Group rows by suite, with one suite in memory at a time.

    Args:
        preferences: The rows.
        seen: Ids of the suites of earlier calls; those of this call are added.

    Yields:
        The rows of each suite.

    Raises:
        ValueError: The rows of a suite are not next to one another, so its pairs would not be balanced.
    """
    for suite_id, rows in groupby(preferences, key=attrgetter("suite_id")):
        if suite_id in seen:
            raise ValueError(f"the preferences of suite {suite_id} are not next to one another: group them by suite")
        seen.add(suite_id)
        yield list(rows)


def pairs(rows: Iterable[_LabelledT], config: PreferencesConfig) -> Iterator[tuple[_LabelledT, _LabelledT]]:
    """Draw the pairs of one suite.

    Args:
        rows: All labelled rows of the suite, in any order; at least one.
        config: How pairs are formed, and the seed of the sampling.

    Yields:
        Pairs of a chosen and a rejected row.
    """
    ordered = sorted(rows, key=attrgetter("sample_id"))
    chosen = [row for row in ordered if row.label]
    rejected = [row for row in ordered if not row.label]
    draw = random.Random(digest(config.seed, ordered[0].instruction_id, ordered[0].suite_id))
    size = min(len(chosen), len(rejected))
    if config.pairs == "closest":
        yield from _closest(draw.sample(chosen, size), rejected)
        return
    yield from zip(draw.sample(chosen, size), draw.sample(rejected, size), strict=True)


def _closest(chosen: list[_LabelledT], rejected: list[_LabelledT]) -> Iterator[tuple[_LabelledT, _LabelledT]]:
    """Pair each chosen row with the most similar rejected row that is left, by the ratio of matching characters."""
    left = list(rejected)
    for one in chosen:
        matcher = SequenceMatcher(None, "", one.completion, autojunk=False)
        best = 0
        highest = -1.0
        for number, other in enumerate(left):
            matcher.set_seq1(other.completion)
            if matcher.real_quick_ratio() > highest and matcher.quick_ratio() > highest:
                ratio = matcher.ratio()
                if ratio > highest:
                    best, highest = number, ratio
        yield one, left.pop(best)


def _completion(preference: Preference) -> str | list[Message]:
    if isinstance(preference.prompt, str):
        return preference.completion
    return [{"role": "assistant", "content": preference.completion}]
