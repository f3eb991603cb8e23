"""Everything about one instruction, found by the id of any of its rows: the library behind `plum-hub show`."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from plum_hub.errors import RunError
from plum_hub.records import Drop, Instruction, Preference, Response, Sample, TestSuite, Verdict, to_json
from plum_hub.run import Run


@dataclass(frozen=True)
class Story:
    """One instruction and what became of it."""

    instruction: Instruction
    suite: TestSuite | None
    samples: list[tuple[Sample, Verdict | None, bool | None]]
    """Each sample with its verdict and its label, None where it has none."""
    drops: list[Drop]

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "instruction": to_json(self.instruction),
            "suite": to_json(self.suite) if self.suite else None,
            "samples": [
                {"sample": to_json(sample), "verdict": to_json(verdict) if verdict else None, "label": label}
                for sample, verdict, label in self.samples
            ],
            "dropped": [to_json(drop) for drop in self.drops],
        }


def story(run: Run, name: str) -> Story:
    """The story of the instruction that `name` belongs to.

    Args:
        run: where to look.
        name: the id, or its first digits, of an instruction, response, suite, sample, verdict or preference.

    Raises:
        RunError: no row has this id, or rows of several instructions have.
    """
    found = _instructions_of(run, name)
    if len(found) != 1:
        problem = "no row has this id" if not found else f"rows of {len(found)} instructions begin so; give more digits"
        raise RunError(f"{name}: {problem}; ids are the `id` values in {run.folder}/shards/*/*.jsonl")
    (wanted,) = found
    instruction = next(row for row in run.rows(Instruction) if row.id == wanted)
    suite = next((row for row in run.rows(TestSuite) if row.instruction_id == wanted), None)
    verdicts = {row.sample_id: row for row in run.rows(Verdict) if row.instruction_id == wanted}
    labels = {row.sample_id: row.label for row in run.rows(Preference) if row.instruction_id == wanted}
    samples = [
        (row, verdicts.get(row.id), labels.get(row.id)) for row in run.rows(Sample) if row.instruction_id == wanted
    ]
    drops = [row for row in run.rows(Drop) if row.instruction_id == wanted]
    return Story(instruction, suite, sorted(samples, key=lambda one: one[0].index), drops)


def _instructions_of(run: Run, name: str) -> set[str]:
    rows: Iterator[Response | TestSuite | Sample | Verdict | Preference] = chain(
        run.rows(Response), run.rows(TestSuite), run.rows(Sample), run.rows(Verdict), run.rows(Preference)
    )
    found = {row.id for row in run.rows(Instruction) if row.id.startswith(name)}
    return found | {row.instruction_id for row in rows if row.id.startswith(name)}
