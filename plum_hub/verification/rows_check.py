"""The rows of a release, recomputed from their own inputs: ids, programs and views."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from plum_hub.pipeline.extraction import program_of
from plum_hub.pipeline.samples import prompt_of
from plum_hub.records import Drop, Preference, Prompt, Sample, digest, suite_digest
from plum_hub.release.figures import pass_ratios
from plum_hub.release.manifest import RowCounts
from plum_hub.release.parquet import hash_place
from plum_hub.release.preferences import STAGE, preferences
from plum_hub.release.reading import config_files, read_rows
from plum_hub.release.schemas import Config
from plum_hub.release.views import dpo_rows, kto_rows, sft_rows
from plum_hub.strength import discrimination
from plum_hub.verification.evidence import EvidenceCheck
from plum_hub.verification.findings import Findings, shown
from plum_hub.verification.provenance import Provenance
from plum_hub.verification.reading import RecordedSample, RecordedSuite, recorded_samples, recorded_suites
from plum_hub.verification.rows import Part, Row


@dataclass
class RowsCheck:
    """Checks a release part by part, and counts its rows."""

    provenance: Provenance
    findings: Findings
    rows: Counter[Config] = field(default_factory=Counter)
    labels: Counter[bool] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    ratios: list[tuple[int, int]] = field(default_factory=list)
    """Passing samples and all samples of each suite."""
    sources: set[tuple[str, str, str | None]] = field(default_factory=set)
    """Name, revision and licence of each source of a suite's instruction."""
    judgeable: int = 0
    """Samples that can be judged again."""

    def __post_init__(self) -> None:
        self._evidence = EvidenceCheck(self.provenance.recipe, self.findings)

    def check_part(self, part: Part) -> list[str]:
        """Check all rows of some instructions.

        Args:
            part: The rows.

        Returns:
            The ids of those samples that can be judged again.
        """
        self.rows.update({config: len(rows) for config, rows in part.items()})
        self.labels.update(row["label"] for row in part["kto"])
        self.statuses.update(row["status"] for row in part["samples"])
        self.dropped.update((row["stage"], row["reason"]) for row in part["dropped"])
        self.sources.update((row["source"], row["source_revision"], row["license"]) for row in part["test_suites"])
        passed = Counter(row["suite_id"] for row in part["samples"] if row["status"] == "passed")
        sampled = Counter(row["suite_id"] for row in part["samples"])
        self.ratios += [(passed[suite], number) for suite, number in sampled.items()]
        suites = recorded_suites(part, self.findings)
        samples = recorded_samples(part, suites, self.findings)
        for suite in suites.values():
            self._check_suite(suite)
        for one in samples:
            self._check_sample(one)
        self._check_none_missing(part, suites)
        self._check_views(part, samples, suites)
        discriminations = {one.suite_id: one for one in discrimination(one.verdict for one in samples)}
        for row in part["test_suites"]:
            self._evidence.check(row, discriminations.get(row["suite_id"]))
        self.judgeable += len(samples)
        return [one.sample.id for one in samples]

    def check_counts(self, counts: RowCounts) -> None:
        """Compare the counts of all parts with the manifest.

        Args:
            counts: The counts in the manifest.
        """
        compare = self.findings.compare
        for config in sorted(self.rows.keys() | counts.rows.keys()):
            compare("counts", f"rows of {config}", counts.rows.get(config, 0), self.rows[config])
        compare("counts", "verdicts", counts.statuses, dict(sorted(self.statuses.items())))
        compare("counts", "labels", (counts.chosen, counts.rejected), (self.labels[True], self.labels[False]))
        dropped = {(stage, reason): n for stage, reasons in counts.dropped.items() for reason, n in reasons.items()}
        compare("counts", "rows left out", dropped, dict(sorted(self.dropped.items())))
        if counts.pass_ratios is not None:
            compare("counts", "suites by their pass rate", counts.pass_ratios, pass_ratios(self.ratios))
        named = {(one.name, one.revision, one.license) for one in self.provenance.lineage.sources}
        unnamed = [f"{name} ({terms or 'no licence stated'})" for name, _, terms in self.sources - named]
        compare(
            "counts", "sources and licences of rows that the manifest does not name", "", ", ".join(sorted(unnamed))
        )
        self._evidence.check_counts(counts)

    def _check_suite(self, recorded: RecordedSuite) -> None:
        suite, compare = recorded.suite, self.findings.compare
        compare("ids", f"suite {suite.id}", suite.id, suite_digest(suite.instruction_id, suite))
        compare("ids", f"suite {suite.id}, its instruction", suite.instruction_id, digest(recorded.instruction.text))
        responses = self.provenance.response_ids(suite.instruction_id)
        if responses is not None and suite.response_id not in responses:
            self.findings.fail(
                "ids", f"suite {suite.id}, its response", suite.response_id, "not one of the generator's responses"
            )

    def _check_sample(self, one: RecordedSample) -> None:
        sample, suite, compare, provenance = one.sample, one.suite, self.findings.compare, self.provenance
        what = f"sample {sample.id}"
        origin = provenance.origin(suite, sample)
        if (computed := provenance.sample_id(suite, origin, sample.index)) is not None:
            compare("ids", what, sample.id, computed)
        compare("ids", f"{what}, its instruction", sample.instruction_id, suite.instruction_id)
        compare("ids", f"{what}, its seed", sample.seed, provenance.seed(origin, sample.index))
        compare("ids", f"{what}, its prompt", sample.prompt_digest, provenance.lineage.prompts.get(provenance.template))
        compare("ids", f"{what}, its verdict", one.verdict.id, provenance.verdict_id(sample.id, suite.id))
        compare("samples", f"{what}, its cases", len(one.verdict.cases), len(suite.cases))
        if provenance.same_extraction:
            compare(
                "samples",
                f"{what}, its code",
                sample.code,
                program_of(sample.text, suite, provenance.lineage.extraction),
            )

    def _check_none_missing(self, part: Part, suites: Mapping[str, RecordedSuite]) -> None:
        """Check that every sample of the recipe is there, or was left out with a reason (law 6)."""
        present = {row["sample_id"] for row in part["samples"]} | {row["id"] for row in part["dropped"]}
        for recorded in suites.values():
            for index in range(self.provenance.recipe.samples.per_instruction or 0):
                origins = self.provenance.origins(recorded.suite)
                names = [self.provenance.sample_id(recorded.suite, origin, index) for origin in origins]
                if names[0] is not None and present.isdisjoint(names):
                    self.findings.fail("samples", f"sample {names[0]}", "missing", "neither a sample nor left out")

    def _check_views(self, part: Part, samples: Iterable[RecordedSample], suites: Mapping[str, RecordedSuite]) -> None:
        prompt = self._prompts(part["kto"], suites)
        groups: dict[str, list[RecordedSample]] = {}
        for one in samples:
            groups.setdefault(one.suite.id, []).append(one)
        labelled: list[Preference | Drop] = []
        for group in groups.values():
            verdicts = {one.sample.id: one.verdict for one in group}
            labelled += preferences((one.sample for one in group), verdicts, prompt, self.provenance.recipe.preferences)
        kept = [row for row in labelled if isinstance(row, Preference)]
        views: dict[Config, tuple[str, Iterable[Row]]] = {
            "kto": ("sample_id", kto_rows(kept)),
            "sft": ("sample_id", sft_rows(kept)),
            "dpo": ("chosen_sample_id", dpo_rows(kept, self.provenance.recipe.preferences)),
        }
        for config, (key, rows) in views.items():
            self._compare(config, key, part[config], rows)
        left_out = {row["id"] for row in part["dropped"] if row["stage"] != STAGE}
        drops = [row for row in part["dropped"] if row["stage"] == STAGE and row["id"] not in left_out]
        self._compare("dropped", "id", drops, (vars(row) for row in labelled if isinstance(row, Drop)))

    def _prompts(self, kto: Iterable[Row], suites: Mapping[str, RecordedSuite]) -> Callable[[Sample], Prompt]:
        """Return a function that renders the prompt of a sample, or looks it up if the template has changed since."""
        published: dict[str, Prompt] = {row["instruction_id"]: row["prompt"] for row in kto}

        def prompt(sample: Sample) -> Prompt:
            if not self.provenance.same_prompt:
                return published.get(sample.instruction_id, "")
            recorded = suites[sample.suite_id]
            return prompt_of(self.provenance.recipe, recorded.instruction, recorded.suite)

        return prompt

    def _compare(self, config: Config, key: str, published: Iterable[Row], computed: Iterable[Row]) -> None:
        rows = {row[key]: row for row in computed}
        missing = dict(rows)
        for row in published:
            what, expected = f"{config} {row[key]}", missing.pop(row[key], None)
            if expected is None:
                self.findings.fail("views", what, "a row", "a duplicate" if row[key] in rows else "no such row")
            else:
                differing = [name for name in expected if row[name] != expected[name]]
                for name in differing:
                    self.findings.fail("views", f"{what}, {name}", shown(row[name]), shown(expected[name]))
                self.findings.compared["views"] += not differing
        for name in missing:
            self.findings.fail("views", f"{config} {name}", "missing", "a row")


def check_order(folder: Path, findings: Findings) -> None:
    """Check that the rows of config `kto` are in the order of a hash, which separates the answers to one prompt.

    Args:
        folder: The release's folder.
        findings: Receives the result.
    """
    places = (hash_place(row["sample_id"]) for row in read_rows(config_files(folder, "kto"), ("sample_id",)))
    if all(before <= after for before, after in pairwise(places)):
        findings.compared["views"] += 1
    else:
        findings.fail("views", "kto", "in the order of a hash of the ids", "in another order")
