"""Writes the folder that is pushed: the Parquet files of every config, the card, the recipe and the manifest."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from plum_hub.errors import NothingToReleaseError, RunError
from plum_hub.lines import writing
from plum_hub.records import Drop, Instruction, Preference, Sample, Status, TestSuite, Verdict
from plum_hub.release.figures import FOLDER as FIGURES
from plum_hub.release.figures import histogram, pass_ratios, statuses
from plum_hub.release.lineage import Counts, FileEntry, Lineage, Manifest, published_name
from plum_hub.release.parquet import batches, scattered, write_parquet
from plum_hub.release.preferences import label_of
from plum_hub.release.schemas import CONFIGS, Config, columns, schema
from plum_hub.release.views import Row, dpo_rows, kto_rows, sft_rows

CARD, MANIFEST = "README.md", "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What goes into a tree. Each iterable is read as a stream; `preferences` is read once for each of its views, so
    it must be one that can be read again (no iterator)."""

    lineage: Lineage
    recipe: str
    """The resolved recipe, as YAML."""
    preferences: Iterable[Preference]
    """The rows of a suite next to one another."""
    dpo_seed: int
    samples: Iterable[tuple[Sample, Verdict]]
    """Every sample, labelled or not."""
    suites: Iterable[tuple[Instruction, TestSuite]]
    dropped: Iterable[Drop]
    card: Callable[[Counts], str]
    """Gives the text of README.md, from what was counted."""


def write_tree(folder: Path, contents: Contents) -> Manifest:
    """Write the whole tree, or nothing: `folder` appears (or is replaced) only when the last file is written.

    A config without rows is left out.

    Raises:
        NothingToReleaseError: there is no preference.
        RunError: the disk is full, the folder is not writable, or it holds something that is no tree.
        ValueError: `preferences` is an iterator, or the rows of a suite are not next to one another.
    """
    conversational = _are_conversational(contents.preferences)
    partial = folder.with_name(f"{folder.name}.partial")
    try:
        if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
            raise RunError(f"{folder} holds other files than a release: move them away, or choose another folder")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        manifest = _write(partial, contents, conversational)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except OSError as error:
        raise RunError(
            f"the release could not be written to {folder}: {error.strerror or error}; "
            "make room or give write access, then run the same command again"
        ) from error
    return manifest


def with_card(folder: Path, manifest: Manifest, card: str) -> Manifest:
    """The same tree with another README.md.

    Raises:
        RunError: as `write_tree`.
    """
    path = folder / CARD
    with writing(path):
        path.write_text(card, encoding="utf-8", newline="\n")
        files = tuple(_entry(folder, path, None) if file.path == CARD else file for file in manifest.files)
        changed = replace(manifest, files=files)
        _write_manifest(folder, changed)
    return changed


def _are_conversational(preferences: Iterable[Preference]) -> bool:
    """Whether the prompts are conversations; one policy is asked in one way throughout."""
    if iter(preferences) is preferences:
        raise ValueError("the preferences are an iterator, which can be read only once: give a list or the like")
    first = next(iter(preferences), None)
    if first is None:
        raise NothingToReleaseError(
            "no instruction has a chosen sample, so there is nothing to release: "
            "use a stronger policy, more samples for each suite, or more instructions"
        )
    return not isinstance(first.prompt, str)


def _write(root: Path, contents: Contents, conversational: bool) -> Manifest:
    count = _Count()
    files: dict[Path, int] = {}
    for config in CONFIGS:
        tables = batches(_rows(config, contents, count), schema(config, conversational=conversational))
        if config == "kto":
            tables = scattered(tables, key="sample_id", scratch=root)
        written = write_parquet(root / config, tables)
        if written:
            count.rows[config] = sum(written.values())
        files |= written
    counts = count.finished(conversational)
    (root / FIGURES).mkdir()
    for name, drawing in _figures(counts):
        (root / FIGURES / name).write_text(drawing, encoding="utf-8", newline="\n")
    (root / "recipe.yaml").write_text(contents.recipe, encoding="utf-8", newline="\n")
    (root / CARD).write_text(contents.card(counts), encoding="utf-8", newline="\n")
    manifest = Manifest(
        lineage=contents.lineage,
        counts=counts,
        columns={
            config: {column.name: column.type for column in columns(config, conversational=conversational)}
            for config in counts.rows
        },
        files=tuple(_entries(root, files)),
    )
    _write_manifest(root, manifest)
    return manifest


def _figures(counts: Counts) -> Iterator[tuple[str, str]]:
    """The card's pictures, by the names of their files."""
    if counts.statuses:
        yield "pass_ratios.svg", histogram(counts.pass_ratios)
        yield "verdicts.svg", statuses(counts.statuses, {status: label_of(status) for status in get_args(Status)})


def _write_manifest(root: Path, manifest: Manifest) -> None:
    text = json.dumps(manifest.to_json(), indent=2, sort_keys=True) + "\n"
    (root / MANIFEST).write_text(text, encoding="utf-8", newline="\n")


class _Count:
    """Counts the rows as they stream by."""

    def __init__(self) -> None:
        self.rows: Counter[Config] = Counter()
        self.labels: Counter[bool] = Counter()
        self.statuses: Counter[str] = Counter()
        self.dropped: dict[str, Counter[str]] = {}
        self.samples: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()

    def add(self, config: Config, row: Row) -> Row:
        if config == "kto":
            self.labels[row["label"]] += 1
        elif config == "samples":
            self.statuses[row["status"]] += 1
            self.samples[row["suite_id"]] += 1
            self.passed[row["suite_id"]] += row["status"] == "passed"
        elif config == "dropped":
            self.dropped.setdefault(row["stage"], Counter())[row["reason"]] += 1
        return row

    def finished(self, conversational: bool) -> Counts:
        return Counts(
            conversational=conversational,
            rows=dict(self.rows),
            statuses=dict(sorted(self.statuses.items())),
            chosen=self.labels[True],
            rejected=self.labels[False],
            dropped={stage: dict(sorted(reasons.items())) for stage, reasons in sorted(self.dropped.items())},
            pass_ratios=pass_ratios((self.passed[suite], samples) for suite, samples in self.samples.items()),
        )


def _rows(config: Config, contents: Contents, count: _Count) -> Iterator[Row]:
    rows: dict[Config, Callable[[], Iterable[Row]]] = {
        "kto": lambda: kto_rows(contents.preferences),
        "dpo": lambda: dpo_rows(contents.preferences, contents.dpo_seed),
        "sft": lambda: sft_rows(contents.preferences),
        "samples": lambda: (_sample_row(*pair) for pair in contents.samples),
        "test_suites": lambda: (_suite_row(*pair) for pair in contents.suites),
        "dropped": lambda: map(vars, contents.dropped),
    }
    return (count.add(config, row) for row in rows[config]())


def _sample_row(sample: Sample, verdict: Verdict) -> Row:
    judged = {key: value for key, value in vars(verdict).items() if key not in ("id", "cases")}
    cases = [vars(case) for case in verdict.cases]
    return {**vars(sample), **judged, "sample_id": sample.id, "verdict_id": verdict.id, "cases": cases}


def _suite_row(instruction: Instruction, suite: TestSuite) -> Row:
    return {
        **vars(suite),
        "suite_id": suite.id,
        "cases": [vars(case) for case in suite.cases],
        "instruction": instruction.text,
        "source": published_name(instruction.source, instruction.revision),
        "source_revision": instruction.revision,
        "source_row": instruction.row,
        "license": instruction.license,
    }


def _entries(root: Path, rows: dict[Path, int]) -> Iterator[FileEntry]:
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        yield _entry(root, path, rows.get(path))


def _entry(root: Path, path: Path, rows: int | None) -> FileEntry:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(path=path.relative_to(root).as_posix(), sha256=sha256, size=path.stat().st_size, rows=rows)
