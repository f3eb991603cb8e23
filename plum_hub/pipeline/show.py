"""Everything about one instruction, found by the id of any of its rows: the library behind `plum-hub show`."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from plum_hub.errors import RunError
from plum_hub.records import Drop, Instruction, Preference, Response, Sample, TestSuite, Verdict, to_json
from plum_hub.run import Run


@dataclass(frozen=True)
class InstructionReport:
    """One instruction and what became of it."""

    instruction: Instruction | None
    """None where it was left out before it became one: then there are only drops."""
    suite: TestSuite | None
    samples: list[tuple[Sample, Verdict | None, bool | None]]
    """Each sample with its verdict and its label, None where it has none."""
    drops: list[Drop]
    asked: str | None
    """The id of the sample or drop that was asked for, by its own id or its verdict's or preference's."""

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "instruction": to_json(self.instruction) if self.instruction else None,
            "suite": to_json(self.suite) if self.suite else None,
            "samples": [
                {"sample": to_json(sample), "verdict": to_json(verdict) if verdict else None, "label": label}
                for sample, verdict, label in self.samples
            ],
            "dropped": [to_json(drop) for drop in self.drops],
            "asked": self.asked,
        }


def story(run: Run, name: str) -> InstructionReport:
    """The story of the instruction that `name` belongs to.

    Args:
        run: where to look.
        name: the id, or its first digits, of any row of the run.

    Raises:
        RunError: no row has this id, or rows of several instructions have.
    """
    found, asked = _named(run, name)
    if len(found) != 1:
        problem = "no row has this id" if not found else f"rows of {len(found)} instructions begin so; give more digits"
        raise RunError(f"{name}: {problem}; ids are the `id` values in {run.folder}/shards/00000/*.jsonl")
    (wanted,) = found
    instruction = next((row for row in run.rows(Instruction) if row.id == wanted), None)
    suite = next((row for row in run.rows(TestSuite) if row.instruction_id == wanted), None)
    verdicts = {row.sample_id: row for row in run.rows(Verdict) if row.instruction_id == wanted}
    labels = {row.sample_id: row.label for row in run.rows(Preference) if row.instruction_id == wanted}
    samples = [
        (row, verdicts.get(row.id), labels.get(row.id)) for row in run.rows(Sample) if row.instruction_id == wanted
    ]
    drops = [row for row in run.rows(Drop) if row.instruction_id == wanted]
    samples.sort(key=lambda one: one[0].index)
    return InstructionReport(instruction, suite, samples, drops, asked.pop() if len(asked) == 1 else None)


def _named(run: Run, name: str) -> tuple[set[str], set[str]]:
    """The instructions that rows with this id belong to, and the samples and drops that it stands for."""
    instructions = {row.id for row in run.rows(Instruction) if row.id.startswith(name)}
    asked: set[str] = set()
    rows: Iterator[Response | TestSuite | Sample | Verdict | Preference | Drop] = chain(
        run.rows(Response),
        run.rows(TestSuite),
        run.rows(Sample),
        run.rows(Verdict),
        run.rows(Preference),
        run.rows(Drop),
    )
    for row in rows:
        if row.id.startswith(name):
            instructions.add(row.instruction_id)
            if isinstance(row, Verdict | Preference):
                asked.add(row.sample_id)
            elif isinstance(row, Sample | Drop):
                asked.add(row.id)
    # An instruction that was left out has no row of its own, but its drop says which it was.
    instructions |= {drop.instruction_id for drop in run.rows(Drop) if drop.instruction_id.startswith(name)}
    return instructions, asked
