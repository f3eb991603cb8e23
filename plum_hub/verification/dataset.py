"""Verification of a dataset's release."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from heapq import nsmallest
from itertools import chain

from plum_hub.judging.cases import judge_of
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
from plum_hub.verification.findings import MEANINGS, Findings, summarize_checks
from plum_hub.verification.options import VerifyOptions
from plum_hub.verification.provenance import Provenance, note_versions, read_provenance
from plum_hub.verification.reading import RecordedSample, recorded_samples, recorded_suites
from plum_hub.verification.rejudge import check_references, rejudge
from plum_hub.verification.rows import InstructionParts, count_parts, split
from plum_hub.verification.rows_check import RowsCheck, check_order
from plum_hub.verification.tag import check_previous, check_tag


@dataclass(frozen=True)
class DatasetReport:
    """The outcome of verifying a dataset."""

    options: VerifyOptions
    release: FetchedRelease
    findings: Findings
    samples: int
    """Samples in the release that can be judged."""
    judged: int
    """Samples that were judged again."""
    harness: dict[str, dict[str, str]]
    """Versions of `sandbox` and `static_check`: those of the release (`published`) and those on this machine (`here`);
    empty if the rows could not be checked."""

    @property
    def agrees(self) -> bool:
        """Whether every comparison agreed."""
        return self.findings.agree

    @property
    def differing(self) -> int:
        """Number of comparisons that did not agree."""
        return self.findings.differing.total()

    def as_json(self) -> dict[str, object]:
        """Return the report as JSON values, for `--json`."""
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
            "seed": None if self.options.sample is None else self.options.seed,
            "checks": summarize_checks(findings, MEANINGS),
            "disagreements": [asdict(mismatch) for mismatch in findings.listed],
            "notes": findings.notes,
            "harness": self.harness,
        }


def verify_dataset(options: VerifyOptions, release: FetchedRelease, progress: Progress) -> DatasetReport:
    """Compare a downloaded release with its manifest, its recipe and its own inputs, and judge its samples again.

    A check that is impossible because an earlier one failed makes no comparisons; the earlier one says why.

    Args:
        options: How to verify.
        release: The release, on this machine.
        progress: Progress reporter.

    Returns:
        The report.

    Raises:
        SandboxError: Programs cannot be run on this machine; that says nothing about the release.
        StaticCheckError: The static check cannot run on this machine; likewise.
        RunError: `options.run` does not name the release.
        HubError: An earlier manifest cannot be downloaded.
    """
    findings = Findings()
    check_tag(release, options.commit, options.run, findings)
    manifest = check_manifest(release.folder, findings, VerifiableManifest)
    if manifest is None:
        return DatasetReport(options, release, findings, 0, 0, {})
    check_previous(release, manifest.previous, findings)
    check_files(release.folder, manifest, findings)
    if findings.differing["files"]:
        findings.note(f"a damaged download looks the same: remove {release.folder} and verify again to be sure")
    check_schemas(release.folder, manifest, findings)
    provenance = read_provenance(release.folder, manifest.lineage, findings)
    if provenance is None or findings.differing["schemas"]:
        findings.note("the rows were not checked, because they cannot be read as those of a release")
        return DatasetReport(options, release, findings, 0, 0, {})
    try:
        check_content(release.folder, manifest, findings)
        with split(release.folder, count_parts(release.folder)) as parts:
            return _rows_report(options, release, _ReleaseRows(parts, manifest, provenance, findings), progress)
    except UnreadableError as error:
        findings.fail("schemas", "rows", "can be read", str(error))
        return DatasetReport(options, release, findings, 0, 0, {})


@dataclass(frozen=True)
class _ReleaseRows:
    parts: InstructionParts
    manifest: VerifiableManifest
    provenance: Provenance
    findings: Findings


def _rows_report(
    options: VerifyOptions, release: FetchedRelease, rows: _ReleaseRows, progress: Progress
) -> DatasetReport:
    findings, provenance = rows.findings, rows.provenance
    check = RowsCheck(provenance, findings)
    names = chain.from_iterable(map(check.check_part, rows.parts))
    chosen = None if options.sample is None else set(draw_samples(names, options.sample, options.seed))
    deque(names, maxlen=0)  # all parts are checked, also where no sample is drawn
    check.check_counts(rows.manifest.counts)
    check_order(release.folder, findings)
    judged = check.judgeable if chosen is None else len(chosen)
    settings = provenance.recipe.verdicts
    with judge_of(settings.model_copy(update={"sandbox": options.sandbox}), options.workers) as judge:
        static_check = checker_version(frozenset(settings.mypy_codes))
        note_versions(provenance.lineage, judge.harness_version, static_check, findings)
        here = {"sandbox": judge.harness_version, "static_check": static_check}
        progress.begin("judge", judged, 0)
        rejudge(_samples(rows.parts, chosen), provenance, judge, findings, progress)
        progress.end()
        check_references(_suites(rows.parts, chosen), provenance, judge, findings)
    published = {"sandbox": provenance.lineage.harness_version, "static_check": provenance.lineage.checker_version}
    harness = {"published": published, "here": here}
    return DatasetReport(options, release, findings, check.judgeable, judged, harness)


def draw_samples(names: Iterable[str], count: int, seed: int) -> list[str]:
    """Draw samples in a way that nobody can predict without the seed.

    Args:
        names: Ids of the samples.
        count: How many to draw; all if there are fewer.
        seed: Seed of the draw.

    Returns:
        The ids that were drawn.
    """
    return nsmallest(count, names, key=lambda name: digest(seed, name))


def _samples(parts: InstructionParts, chosen: set[str] | None) -> Iterator[RecordedSample]:
    """Yield the chosen samples, or all. Errors in their rows have been reported before."""
    ignored = Findings()
    for part in parts:
        recorded = recorded_samples(part, recorded_suites(part, ignored), ignored)
        yield from (one for one in recorded if chosen is None or one.sample.id in chosen)


def _suites(parts: InstructionParts, of: set[str] | None) -> Iterator[TestSuite]:
    """Yield the suites of these samples, or all suites."""
    ignored = Findings()
    for part in parts:
        needed = None if of is None else {row["suite_id"] for row in part["samples"] if row["sample_id"] in of}
        for recorded in recorded_suites(part, ignored).values():
            if needed is None or recorded.suite.id in needed:
                yield recorded.suite
