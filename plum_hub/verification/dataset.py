"""Whether a dataset's release is what it says."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from heapq import nsmallest
from typing import Any

from plum_hub.execution import Judge
from plum_hub.loading import FetchedRelease
from plum_hub.progress import Progress
from plum_hub.records import TestSuite, digest
from plum_hub.release.manifest import VerifiableManifest
from plum_hub.release.reading import UnreadableError
from plum_hub.static import checker_version
from plum_hub.verification.files import (
    check_content,
    check_files,
    check_manifest,
    check_schemas,
)
from plum_hub.verification.findings import MEANINGS, Findings, checks_as_json
from plum_hub.verification.options import VerifyOptions
from plum_hub.verification.provenance import Provenance, note_versions, read_terms
from plum_hub.verification.reading import RecordedSample, judged_of, tasks_of
from plum_hub.verification.rejudge import check_references, rejudge
from plum_hub.verification.rows import InstructionParts, parts_of, split
from plum_hub.verification.rows_check import RowsCheck, check_order
from plum_hub.verification.tag import check_earlier, check_tag


@dataclass(frozen=True)
class DatasetReport:
    """What came of it."""

    order: VerifyOptions
    release: FetchedRelease
    findings: Findings
    samples: int
    """In the release, as far as they can be judged."""
    judged: int
    harness: dict[str, dict[str, str]]
    """Sandbox and static check of the release (`published`), and those that judged now (`here`)."""

    @property
    def agrees(self) -> bool:
        """Whether the release is what it says."""
        return self.findings.agree

    @property
    def differing(self) -> int:
        """How many things do not agree."""
        return self.findings.differing.total()

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values, for `--json`."""
        findings = self.findings
        return {
            "kind": "dataset",
            "repo": self.release.repo,
            "version": self.release.version,
            "commit": self.release.commit,
            "hub": self.release.hub,
            "agrees": self.agrees,
            "samples": self.samples,
            "judged": self.judged,
            "seed": None if self.order.sample is None else self.order.seed,
            "checks": checks_as_json(findings, MEANINGS),
            "disagreements": [asdict(one) for one in findings.listed],
            "notes": findings.notes,
            "harness": self.harness,
        }


def audited(order: VerifyOptions, release: FetchedRelease, progress: Progress) -> DatasetReport:
    """Hold a release that is here against its manifest, its recipe, its own inputs, and a judge of one's own.

    A check that cannot be made because an earlier one failed compares nothing; the earlier one says why.

    Raises:
        SandboxError, StaticCheckError: programs cannot be judged here; that says nothing about the release.
        RunError: `order.run` does not name the release.
        HubError: what the manifest names cannot be had.
    """
    findings = Findings()
    check_tag(release, order.commit, order.run, findings)
    manifest = check_manifest(release.folder, findings, VerifiableManifest)
    if manifest is None:
        return DatasetReport(order, release, findings, 0, 0, {})
    check_earlier(release, manifest.previous, findings)
    check_files(release.folder, manifest, findings)
    if findings.differing["files"]:
        findings.note(f"a damaged download looks the same: remove {release.folder} and verify again to be sure")
    check_schemas(release.folder, manifest, findings)
    terms = read_terms(release.folder, manifest.lineage, findings)
    if terms is None or findings.differing["schemas"]:
        findings.note("the rows were not looked at, because they cannot be read as a release's")
        return DatasetReport(order, release, findings, 0, 0, {})
    try:
        check_content(release.folder, manifest, findings)
        with split(release.folder, parts_of(release.folder)) as parts:
            return _rows_report(order, release, _ReleaseRows(parts, manifest, terms, findings), progress)
    except UnreadableError as error:
        findings.wrong("schemas", "rows", "can be read", str(error))
        return DatasetReport(order, release, findings, 0, 0, {})


@dataclass(frozen=True)
class _ReleaseRows:
    parts: InstructionParts
    manifest: VerifiableManifest
    terms: Provenance
    findings: Findings


def _rows_report(
    order: VerifyOptions, release: FetchedRelease, rows: _ReleaseRows, progress: Progress
) -> DatasetReport:
    findings, terms = rows.findings, rows.terms
    check = RowsCheck(terms, findings)
    names: list[str] = []
    for part in rows.parts:
        names += check.part(part)
    check.end(rows.manifest.counts)
    check_order(release.folder, findings)
    chosen = set(names if order.sample is None else drawn(names, order.sample, order.seed))
    settings = terms.recipe.verdicts
    with Judge(order.workers, sandbox=order.sandbox, numpy=settings.numpy) as judge:
        static_check = checker_version(frozenset(settings.mypy_codes))
        note_versions(terms.lineage, judge.harness_version, static_check, findings)
        here = {"sandbox": judge.harness_version, "static_check": static_check}
        progress.begin("judge", len(chosen), 0)
        rejudge(_samples(rows.parts, chosen), terms, judge, findings, progress)
        progress.end()
        check_references(_suites(rows.parts, None if order.sample is None else chosen), terms, judge, findings)
    published = {"sandbox": terms.lineage.harness_version, "static_check": terms.lineage.checker_version}
    harness = {"published": published, "here": here}
    return DatasetReport(order, release, findings, len(names), len(chosen), harness)


def drawn(names: Iterable[str], count: int, seed: int) -> list[str]:
    """So many of the samples as nobody can foresee who does not know the seed."""
    return nsmallest(count, names, key=lambda name: digest(seed, name))


def _samples(parts: InstructionParts, chosen: set[str]) -> Iterator[RecordedSample]:
    """The chosen samples. What is wrong with their rows has been told before."""
    silent = Findings()
    for part in parts:
        judged = judged_of(part, tasks_of(part, silent), silent)
        yield from (one for one in judged if one.sample.id in chosen)


def _suites(parts: InstructionParts, of: set[str] | None) -> Iterator[TestSuite]:
    """The suites of these samples, or all."""
    silent = Findings()
    for part in parts:
        wanted = None if of is None else {row["suite_id"] for row in part["samples"] if row["sample_id"] in of}
        for task in tasks_of(part, silent).values():
            if wanted is None or task.suite.id in wanted:
                yield task.suite
