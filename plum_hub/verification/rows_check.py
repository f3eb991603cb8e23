"""The rows of a release, made once more from their own inputs: ids, programs, views."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from plum_hub.answers.code import extract_code
from plum_hub.pipeline.samples import prompt_of
from plum_hub.records import Drop, Preference, Prompt, Sample, digest
from plum_hub.release.manifest import RowCounts
from plum_hub.release.parquet import in_hash_order
from plum_hub.release.preferences import STAGE, preferences
from plum_hub.release.reading import config_files, read_rows
from plum_hub.release.schemas import Config
from plum_hub.release.views import dpo_rows, kto_rows, sft_rows
from plum_hub.verification.findings import Findings, shown
from plum_hub.verification.provenance import Provenance
from plum_hub.verification.reading import RecordedSample, RecordedSuite, judged_of, tasks_of
from plum_hub.verification.rows import Part, Row


@dataclass
class RowsCheck:
    """Checks a release part by part."""

    terms: Provenance
    findings: Findings
    rows: Counter[Config] = field(default_factory=Counter)
    labels: Counter[bool] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)

    def part(self, part: Part) -> list[str]:
        """Check all rows of some instructions; gives the ids of the samples among them that can be judged once more."""
        self.rows.update({config: len(rows) for config, rows in part.items()})
        self.labels.update(row["label"] for row in part["kto"])
        self.statuses.update(row["status"] for row in part["samples"])
        self.dropped.update((row["stage"], row["reason"]) for row in part["dropped"])
        tasks = tasks_of(part, self.findings)
        judged = judged_of(part, tasks, self.findings)
        for task in tasks.values():
            self._check_suite(task)
        for one in judged:
            self._check_sample(one)
        self._check_none_missing(part, tasks)
        self._check_views(part, judged, tasks)
        return [one.sample.id for one in judged]

    def end(self, counts: RowCounts) -> None:
        """Hold what was counted against the manifest."""
        same = self.findings.same
        for config in sorted(self.rows.keys() | counts.rows.keys()):
            same("counts", f"rows of {config}", counts.rows.get(config, 0), self.rows[config])
        same("counts", "verdicts", counts.statuses, dict(sorted(self.statuses.items())))
        same("counts", "labels", (counts.chosen, counts.rejected), (self.labels[True], self.labels[False]))
        listed = {(stage, reason): count for stage, of in counts.dropped.items() for reason, count in of.items()}
        same("counts", "rows left out", listed, dict(sorted(self.dropped.items())))

    def _check_suite(self, task: RecordedSuite) -> None:
        suite, same = task.suite, self.findings.same
        cases = [asdict(case) for case in suite.cases]
        made = digest(suite.instruction_id, suite.entry_point, suite.starter_code, suite.reference, cases)
        same("ids", f"suite {suite.id}", suite.id, made)
        same("ids", f"suite {suite.id}, its instruction", suite.instruction_id, digest(task.instruction.text))
        responses = self.terms.response_ids(suite.instruction_id)
        if responses is not None and suite.response_id not in responses:
            self.findings.wrong("ids", f"suite {suite.id}, its response", suite.response_id, "none that was asked for")

    def _check_sample(self, one: RecordedSample) -> None:
        sample, suite, same, terms = one.sample, one.suite, self.findings.same, self.terms
        what = f"sample {sample.id}"
        if (made := terms.sample_id(suite, sample.index)) is not None:
            same("ids", what, sample.id, made)
        same("ids", f"{what}, its instruction", sample.instruction_id, suite.instruction_id)
        same("ids", f"{what}, its seed", sample.seed, terms.seed(suite, sample.index))
        same("ids", f"{what}, its prompt", sample.prompt_digest, terms.lineage.prompts.get(terms.template))
        same("ids", f"{what}, its verdict", one.verdict.id, digest(sample.id, suite.id, terms.harness))
        same("samples", f"{what}, its cases", len(one.verdict.cases), len(suite.cases))
        if terms.same_extraction:
            same("samples", f"{what}, its code", sample.code, extract_code(sample.text, suite.entry_point or None))

    def _check_none_missing(self, part: Part, tasks: Mapping[str, RecordedSuite]) -> None:
        """Each suite has every sample that the recipe asks for, or says where it went (law 6)."""
        there = {row["sample_id"] for row in part["samples"]} | {row["id"] for row in part["dropped"]}
        for task in tasks.values():
            for index in range(self.terms.recipe.samples.per_instruction or 0):
                name = self.terms.sample_id(task.suite, index)
                if name is not None and name not in there:
                    self.findings.wrong("samples", f"sample {name}", "not there", "neither a sample nor left out")

    def _check_views(self, part: Part, judged: Iterable[RecordedSample], tasks: Mapping[str, RecordedSuite]) -> None:
        prompt = self._prompts(part["kto"], tasks)
        groups: dict[str, list[RecordedSample]] = {}
        for one in judged:
            groups.setdefault(one.suite.id, []).append(one)
        made: list[Preference | Drop] = []
        for group in groups.values():
            verdicts = {one.sample.id: one.verdict for one in group}
            made += preferences((one.sample for one in group), verdicts, prompt, self.terms.recipe.preferences)
        kept = [row for row in made if isinstance(row, Preference)]
        views: dict[Config, tuple[str, Iterable[Row]]] = {
            "kto": ("sample_id", kto_rows(kept)),
            "sft": ("sample_id", sft_rows(kept)),
            "dpo": ("chosen_sample_id", dpo_rows(kept, self.terms.recipe.preferences)),
        }
        for config, (key, rows) in views.items():
            self._compare(config, key, part[config], rows)
        left_out = {row["id"] for row in part["dropped"] if row["stage"] != STAGE}
        drops = [row for row in part["dropped"] if row["stage"] == STAGE and row["id"] not in left_out]
        self._compare("dropped", "id", drops, (vars(row) for row in made if isinstance(row, Drop)))

    def _prompts(self, kto: Iterable[Row], tasks: Mapping[str, RecordedSuite]) -> Callable[[Sample], Prompt]:
        """The prompt that a sample answered: rendered, or the published one where the template is another here."""
        published: dict[str, Prompt] = {row["instruction_id"]: row["prompt"] for row in kto}

        def prompt(sample: Sample) -> Prompt:
            if not self.terms.same_prompt:
                return published.get(sample.instruction_id, "")
            task = tasks[sample.suite_id]
            return prompt_of(self.terms.recipe, task.instruction, task.suite)

        return prompt

    def _compare(self, config: Config, key: str, published: Iterable[Row], made: Iterable[Row]) -> None:
        rows = {row[key]: row for row in made}
        wanted = dict(rows)
        for row in published:
            what, mine = f"{config} {row[key]}", wanted.pop(row[key], None)
            if mine is None:
                self.findings.wrong("views", what, "a row", "there already" if row[key] in rows else "no such row")
            else:
                differing = [name for name in mine if row[name] != mine[name]]
                for name in differing:
                    self.findings.wrong("views", f"{what}, {name}", shown(row[name]), shown(mine[name]))
                self.findings.compared["views"] += not differing
        for name in wanted:
            self.findings.wrong("views", f"{config} {name}", "not there", "a row")


def check_order(folder: Path, findings: Findings) -> None:
    """Whether the rows of kto lie in the order of a hash, where no trainer meets the same prompt twice in a row."""
    import pyarrow as pa

    names = [row["sample_id"] for row in read_rows(config_files(folder, "kto"), ("sample_id",))]
    with TemporaryDirectory(prefix="plum-hub-audit-") as scratch:
        ordered = in_hash_order(
            [pa.table({"sample_id": pa.array(names, pa.string())})], key="sample_id", scratch=Path(scratch)
        )
        made = [name for table in ordered for name in table["sample_id"].to_pylist()]
    if names == made:
        findings.compared["views"] += 1
    else:
        findings.wrong("views", "kto", "in the order of a hash of the ids", "in another order")
