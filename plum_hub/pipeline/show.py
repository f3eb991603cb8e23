"""Everything about one instruction, looked up by the id of any of its rows: the library behind `plum-hub show`."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from plum_hub.errors import RunError
from plum_hub.pipeline.roles import roles_of
from plum_hub.records import Drop, Instruction, Preference, Response, Sample, TestSuite, Verdict, to_json
from plum_hub.run import Run


@dataclass(frozen=True)
class InstructionReport:
    """One instruction and all rows made from it."""

    instruction: Instruction | None
    """None if the row was left out before it became an instruction; then there are only drops."""
    suite: TestSuite | None
    samples: list[tuple[Sample, Verdict | None, bool | None]]
    """Each sample with its verdict and label; None where it has none."""
    drops: list[Drop]
    asked: str | None
    """Id of the sample or drop that was looked up, by its own id or that of its verdict or preference."""
    roles: list[str] | None = None
    """The role of each case of the suite; None if the recipe asks for no roles."""

    def as_json(self) -> dict[str, object]:
        """Return the report as JSON values."""
        return {
            "instruction": to_json(self.instruction) if self.instruction else None,
            "suite": to_json(self.suite) if self.suite else None,
            "samples": [
                {"sample": to_json(sample), "verdict": to_json(verdict) if verdict else None, "label": label}
                for sample, verdict, label in self.samples
            ],
            "dropped": [to_json(drop) for drop in self.drops],
            "asked": self.asked,
            "roles": self.roles,
        }


def look_up(run: Run, name: str) -> InstructionReport:
    """Look up an instruction and its rows.

    Args:
        run: The run to search.
        name: Id of any row of the run, or its first digits.

    Returns:
        The report.

    Raises:
        RunError: No row has this id, or rows of several instructions do.
    """
    instructions, asked = _named(run, name)
    if len(instructions) != 1:
        problem = (
            "no row has this id"
            if not instructions
            else f"rows of {len(instructions)} instructions match; give more digits"
        )
        raise RunError(f"{name}: {problem}; ids are the `id` values in {run.folder}/shards/*/*.jsonl")
    (instruction_id,) = instructions
    instruction = next((row for row in run.rows(Instruction) if row.id == instruction_id), None)
    suite = next((row for row in run.rows(TestSuite) if row.instruction_id == instruction_id), None)
    verdicts = {row.sample_id: row for row in run.rows(Verdict) if row.instruction_id == instruction_id}
    labels = {row.sample_id: row.label for row in run.rows(Preference) if row.instruction_id == instruction_id}
    samples = [
        (row, verdicts.get(row.id), labels.get(row.id))
        for row in run.rows(Sample)
        if row.instruction_id == instruction_id
    ]
    drops = [row for row in run.rows(Drop) if row.instruction_id == instruction_id]
    samples.sort(key=lambda one: one[0].index)
    roles = None if suite is None else roles_of(run, suite.id)
    return InstructionReport(instruction, suite, samples, drops, asked.pop() if len(asked) == 1 else None, roles)


def _named(run: Run, name: str) -> tuple[set[str], set[str]]:
    """Return the instructions whose rows have this id, and the samples and drops that it stands for."""
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
    # An instruction that was left out has no row of its own, but its drop names it.
    instructions |= {drop.instruction_id for drop in run.rows(Drop) if drop.instruction_id.startswith(name)}
    return instructions, asked
