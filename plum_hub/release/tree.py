"""The folder of a released dataset: the Parquet files of every config, the card, the recipe and the manifest."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from plum_hub.errors import NothingToReleaseError, RunError
from plum_hub.files import replace_folder, writing
from plum_hub.records import Instruction, Status, TestSuite, by_role
from plum_hub.release.content import RowsDigest
from plum_hub.release.figures import FOLDER as FIGURES
from plum_hub.release.figures import histogram, pass_ratios, statuses
from plum_hub.release.lineage import Lineage, published_name
from plum_hub.release.manifest import CARD, MANIFEST, RECIPE, FileEntry, Manifest, ReleaseCounts, hashed_file
from plum_hub.release.parquet import in_hash_order, prefetched, regrouped, tables_of, write_parquet
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.release.schemas import CONFIGS, SUMMARIZED, Config, Evidence, columns, schema
from plum_hub.release.view_tables import dpo_tables, kto_table, sft_table
from plum_hub.spool import RereadTables
from plum_hub.statistics import distribution

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class ReleaseContents:
    """Everything that goes into a dataset's release. Rows are streamed, as tables of `plum_hub.columns`."""

    lineage: Lineage
    recipe: str
    """The resolved recipe, as YAML."""
    preferences: "Iterable[pa.Table]"
    """The labelled samples, those of a suite next to one another. They are read more than once, so this cannot be an
    iterator."""
    rule: PreferencesConfig
    """The rule by which verdicts became preferences."""
    samples: "Iterable[tuple[pa.Table, pa.Table]]"
    """Every sample, labelled or not, and a table of their verdicts in the same order."""
    suites: Iterable[tuple[Instruction, TestSuite, Mapping[str, Any]]]
    """Every suite with its instruction, and the evidence about it: the values of further columns."""
    dropped: "Iterable[pa.Table]"
    card: Callable[[ReleaseCounts], str]
    """Renders README.md from the counts."""
    evidence: Set[Evidence] = frozenset()
    """The kinds of evidence about the suites. Of each, at least one suite has a value in the column that is summarized
    (`schemas.SUMMARIZED`)."""


def write_tree(folder: Path, contents: ReleaseContents) -> Manifest:
    """Write a dataset's release. The folder appears, or is replaced, only when all files are complete.

    Args:
        folder: Where to write: a new folder, an empty one, or an earlier release.
        contents: What goes into it. A config without rows is left out.

    Returns:
        The manifest.

    Raises:
        NothingToReleaseError: There are no preferences.
        RunError: The disk is full, the folder is not writable, or it contains other files than a release.
        ValueError: `preferences` is an iterator, or the rows of a suite are not next to one another.
    """
    conversational = _are_conversational(contents.preferences)
    partial = folder.with_name(f"{folder.name}.partial")
    try:
        if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
            raise RunError(f"{folder}: contains other files than a release; move them away, or choose another folder")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        rereading = replace(contents, preferences=RereadTables(contents.preferences, partial))
        manifest = _write(partial, rereading, conversational)
        replace_folder(partial, folder)
    except OSError as error:
        raise RunError(
            f"{folder}: the release cannot be written ({error.strerror or error}); "
            "free disk space or grant write access, then run the same command again"
        ) from error
    return manifest


def with_card(folder: Path, manifest: Manifest, card: str) -> Manifest:
    """Replace the card of a written release, and its entry in the manifest.

    Args:
        folder: The release, as `write_tree` wrote it.
        manifest: Its manifest, in which other facts than the files may have changed.
        card: The new text of README.md.

    Returns:
        The new manifest.

    Raises:
        RunError: The disk is full or the folder is not writable.
    """
    path = folder / CARD
    with writing(path):
        path.write_text(card, encoding="utf-8", newline="\n")
        files = tuple(_entry(folder, path, None) if file.path == CARD else file for file in manifest.files)
        changed = replace(manifest, files=files)
        _write_manifest(folder, changed)
    return changed


def _are_conversational(preferences: "Iterable[pa.Table]") -> bool:
    """Tell whether the prompts are conversations; one policy is prompted in one way throughout."""
    from pyarrow.types import is_list

    if iter(preferences) is preferences:
        raise ValueError(
            "the preferences are an iterator, which can be read only once: pass a list or another iterable"
        )
    first = next((table for table in preferences if table.num_rows), None)
    if first is None:
        raise NothingToReleaseError(
            "no instruction has a chosen sample, so there is nothing to release: "
            "use a stronger policy, more samples for each suite, or more instructions"
        )
    return bool(is_list(first.schema.field("prompt").type))


def _write(root: Path, contents: ReleaseContents, conversational: bool) -> Manifest:
    counter = _RowCounter()
    files: dict[Path, int] = {}
    content: dict[Config, str] = {}
    evidence = contents.evidence
    for config in CONFIGS:
        typed, digest = schema(config, conversational=conversational, evidence=evidence), RowsDigest()
        tables: Iterable[pa.Table] = map(partial(counter.add, config, typed), _tables(config, typed, contents))
        ordered = in_hash_order(tables, key="sample_id", scratch=root) if config == "kto" else regrouped(tables)
        written = write_parquet(root / config, prefetched(map(digest.add, ordered)))
        if written:
            counter.rows[config] = sum(written.values())
            content[config] = digest.hexdigest()
        files |= written
    counts = counter.finish(conversational)
    (root / FIGURES).mkdir()
    for name, svg in _figures(counts, contents.rule):
        (root / FIGURES / name).write_text(svg, encoding="utf-8", newline="\n")
    (root / RECIPE).write_text(contents.recipe, encoding="utf-8", newline="\n")
    (root / CARD).write_text(contents.card(counts), encoding="utf-8", newline="\n")
    manifest = Manifest(
        lineage=contents.lineage,
        counts=counts,
        columns={
            config: {one.name: one.type for one in columns(config, conversational=conversational, evidence=evidence)}
            for config in counts.rows
        },
        content=content,
        files=tuple(_entries(root, files)),
    )
    _write_manifest(root, manifest)
    return manifest


def _figures(counts: ReleaseCounts, rule: PreferencesConfig) -> Iterator[tuple[str, str]]:
    """Yield the card's figures by file name."""
    if counts.statuses:
        yield "pass_ratios.svg", histogram(counts.pass_ratios)
        yield "verdicts.svg", statuses(counts.statuses, {status: rule.label(status) for status in get_args(Status)})
    if counts.strength is not None:
        axis = "share of the faulty versions of a suite's reference that fail"
        yield "mutation_scores.svg", histogram(counts.strength.bins, "Suites by their mutation score", axis)
    if counts.agreement is not None:
        axis = "share of the voting references that pass a case, mean of a suite's cases"
        yield "agreements.svg", histogram(counts.agreement.bins, "Suites by the agreement of their voters", axis)


def _write_manifest(root: Path, manifest: Manifest) -> None:
    text = json.dumps(manifest.to_json(), indent=2, sort_keys=True) + "\n"
    (root / MANIFEST).write_text(text, encoding="utf-8", newline="\n")


class _RowCounter:
    """Counts rows as their tables are streamed."""

    def __init__(self) -> None:
        self.rows: Counter[Config] = Counter()
        self.labels: Counter[bool] = Counter()
        self.statuses: Counter[str] = Counter()
        self.dropped: dict[str, Counter[str]] = {}
        self.samples: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self.shares: dict[Evidence, list[float]] = {name: [] for name in SUMMARIZED}
        self.roles: Counter[str] | None = None

    def add(self, config: Config, typed: "pa.Schema", rows: "pa.Table") -> "pa.Table":
        """Count the rows of a table, and return it with the columns of the config."""
        table = rows.select(typed.names).cast(typed)
        if config == "kto":
            self.labels.update(table["label"].to_pylist())
        elif config == "samples":
            statuses, suites = table["status"].to_pylist(), table["suite_id"].to_pylist()
            self.statuses.update(statuses)
            self.samples.update(suites)
            self.passed.update(suite for suite, status in zip(suites, statuses, strict=True) if status == "passed")
        elif config == "test_suites":
            for name, column in SUMMARIZED.items():
                if column in typed.names:
                    self.shares[name] += table[column].drop_null().to_pylist()
            if "roles" in typed.names:
                self.roles = self.roles or Counter()
                self.roles.update(role for roles in table["roles"].to_pylist() for role in roles)
        elif config == "dropped":
            for stage, reason in zip(table["stage"].to_pylist(), table["reason"].to_pylist(), strict=True):
                self.dropped.setdefault(stage, Counter())[reason] += 1
        return table

    def finish(self, conversational: bool) -> ReleaseCounts:
        return ReleaseCounts(
            conversational=conversational,
            rows=dict(self.rows),
            statuses=dict(sorted(self.statuses.items())),
            chosen=self.labels[True],
            rejected=self.labels[False],
            dropped={stage: dict(sorted(reasons.items())) for stage, reasons in sorted(self.dropped.items())},
            pass_ratios=pass_ratios((self.passed[suite], samples) for suite, samples in self.samples.items()),
            strength=distribution(self.shares["strength"]),
            dual_agreement=distribution(self.shares["discrimination"]),
            agreement=distribution(self.shares["vote"]),
            roles=None if self.roles is None else by_role(self.roles),
        )


def _tables(config: Config, typed: "pa.Schema", contents: ReleaseContents) -> "Iterable[pa.Table]":
    """Return the rows of a config, with the columns of its schema and perhaps others."""
    tables: dict[Config, Callable[[], Iterable[pa.Table]]] = {
        "kto": lambda: map(kto_table, contents.preferences),
        "dpo": lambda: dpo_tables(contents.preferences, contents.rule),
        "sft": lambda: map(sft_table, contents.preferences),
        "samples": lambda: (_with_verdicts(*pair) for pair in contents.samples),
        "test_suites": lambda: tables_of((_suite_row(*one) for one in contents.suites), typed),
        "dropped": lambda: contents.dropped,
    }
    return tables[config]()


def _with_verdicts(samples: "pa.Table", verdicts: "pa.Table") -> "pa.Table":
    """Return the samples with the columns of their verdicts."""
    named = samples.rename_columns({"id": "sample_id"})
    for name, column in zip(verdicts.schema.names, verdicts.columns, strict=True):
        if name not in named.schema.names:
            named = named.append_column("verdict_id" if name == "id" else name, column)
    return named


def _suite_row(instruction: Instruction, suite: TestSuite, evidence: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **evidence,
        **vars(suite),
        "case_count": len(suite.cases),
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
    return FileEntry(**asdict(hashed_file(root, path)), rows=rows)
