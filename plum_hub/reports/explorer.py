"""The rows of a report's builds as chunks of its page: JSON, compressed, as text that no HTML can end.

The index has what the list and the search need, and is decoded once. A chunk has everything about some instructions
that follow one another, and is decoded when one of them is opened.
"""

import gzip
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from plum_hub.reasons import DROP_REASONS, meaning_of
from plum_hub.records import TestCase, TestSuite
from plum_hub.reports.rows import ExploredInstruction, ExploredSample

_ORDER = {stage: place for place, stage in enumerate(DROP_REASONS)}
_CHUNK = 300_000
"""Characters of JSON in a chunk: decoded in some milliseconds."""


@dataclass(frozen=True)
class ExplorerData:
    """The data of the explorer, in base64."""

    index: str
    chunks: tuple[str, ...]
    instructions: int
    samples: int
    not_taken: int
    """Instructions that the page does not have, because there were too many samples."""


def explorer_data(builds: Sequence[tuple[str, Sequence[ExploredInstruction], int]]) -> ExplorerData:
    """Encode the rows for the page.

    Args:
        builds: For each build its name, its instructions, and the number of those that were not taken.

    Returns:
        The data. Equal rows give equal data.
    """
    rows: list[list[Any]] = []
    sizes: list[int] = []
    chunks: list[str] = []
    for number, (_, found, _) in enumerate(builds):
        entries = sorted(found, key=lambda entry: not entry.samples)  # those with samples first, else as they were made
        for group in _groups(map(_entry, entries)):
            sizes.append(len(group))
            chunks.append(encoded(group))
        rows += [_index_row(number, entry) for entry in entries]
    index = {"builds": [name for name, _, _ in builds], "sizes": sizes, "rows": rows}
    return ExplorerData(
        index=encoded(index),
        chunks=tuple(chunks),
        instructions=len(rows),
        samples=sum(len(entry.samples) for _, entries, _ in builds for entry in entries),
        not_taken=sum(left for _, _, left in builds),
    )


def encoded(value: object) -> str:
    """Encode a value for the page.

    Args:
        value: JSON values.

    Returns:
        The gzip of its JSON in base64.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", errors="replace")
    return b64encode(gzip.compress(text, 9, mtime=0)).decode("ascii")


def _groups(entries: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Put entries together up to the size of a chunk."""
    group: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        group.append(entry)
        size += len(json.dumps(entry, ensure_ascii=False))
        if size >= _CHUNK:
            yield group
            group, size = [], 0
    if group:
        yield group


def _index_row(build: int, entry: ExploredInstruction) -> list[Any]:
    """Return what the list shows: build, id, text, samples, passed, chosen, rejected, why there is no suite."""
    labels = Counter(one.label for one in entry.samples)
    passed = sum(one.verdict is not None and one.verdict.status == "passed" for one in entry.samples)
    furthest = max(entry.drops, key=lambda drop: _ORDER.get(drop.stage, 0), default=None)
    why = furthest.reason if furthest is not None and entry.suite is None else ""
    its = entry.instruction
    return [build, its.id, its.text, len(entry.samples), passed, labels[True], labels[False], why]


def _entry(entry: ExploredInstruction) -> dict[str, Any]:
    its = entry.instruction
    return {
        "source": its.source.rstrip("/").rpartition("/")[2] if its.source.startswith("/") else its.source,
        "row": its.row,
        "license": its.license,
        "suite": None if entry.suite is None else _suite(entry.suite, entry),
        "samples": [_sample(one) for one in entry.samples],
        "drops": [
            {"stage": stage, "reason": reason, "why": meaning_of(stage, reason), "at": detail, "rows": rows}
            for (stage, reason, detail), rows in Counter(
                (drop.stage, drop.reason, drop.detail) for drop in entry.drops
            ).items()
        ],
    }


def _suite(suite: TestSuite, entry: ExploredInstruction) -> dict[str, Any]:
    votes: Sequence[float | None] = entry.shares if len(entry.shares) == len(suite.cases) else [None] * len(suite.cases)
    outcomes = [one.verdict.cases for one in entry.samples if one.verdict is not None]
    ran = [cases for cases in outcomes if len(cases) == len(suite.cases)]
    return {
        "id": suite.id,
        "entry": suite.entry_point,
        "starter": suite.starter_code,
        "reference": suite.reference,
        "evidence": {name: value for name, value in entry.evidence.items() if value is not None},
        "cases": [
            {
                **_case(case),
                "vote": vote,
                "passed": sum(cases[place].outcome == "passed" for cases in ran),
                "ran": len(ran),
            }
            for place, (case, vote) in enumerate(zip(suite.cases, votes, strict=True))
        ],
    }


def _case(case: TestCase) -> dict[str, Any]:
    """Return what is run and what is expected; a statement expects to hold."""
    if case.kind == "call":
        near = "" if case.tolerance is None else f" ± {case.tolerance:g}"
        return {"kind": "call", "given": case.call, "expected": f"{case.expected}{near}"}
    if case.kind == "stdio":
        return {"kind": "stdin", "given": case.stdin, "expected": case.stdout}
    return {"kind": "statement", "given": case.statement, "expected": None}


def _sample(one: ExploredSample) -> dict[str, Any]:
    sample, verdict = one.sample, one.verdict
    cases = verdict.cases if verdict is not None else ()
    failing = next((place for place, case in enumerate(cases) if case.outcome not in ("passed", "not_run")), None)
    return {
        "id": sample.id,
        "index": sample.index,
        "status": verdict.status if verdict is not None else "",
        "label": one.label,
        "why": one.left_out,
        "code": sample.code,
        "text": sample.text,
        "cut": sample.finish_reason == "length",
        "outcomes": [case.outcome for case in cases],
        "failing": failing,
        "got": cases[failing].detail if failing is not None else "",
        "detail": verdict.detail if verdict is not None else "",
        "output": verdict.output if verdict is not None else "",
        "cpu": verdict.cpu_seconds if verdict is not None else None,
    }
