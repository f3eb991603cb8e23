"""Rounds of sampling and training: what each trained on, and what it gained on held-out instructions."""

from pathlib import Path

from plum_hub.reports.content import RoundFacts
from plum_hub.reports.sources import FoundFolder
from plum_hub.rounds.folder import RoundsFolder
from plum_hub.rounds.record import RoundRecord


def read_rounds(found: FoundFolder) -> list[RoundFacts]:
    """Read the finished rounds of a folder.

    Args:
        found: A folder of kind `rounds`.

    Returns:
        The rounds, in order.

    Raises:
        RunError: The records are damaged.
    """
    return [_facts(found.name, record) for record in RoundsFolder(found.path).records()]


def _facts(name: str, record: RoundRecord) -> RoundFacts:
    return RoundFacts(
        name=name,
        number=record.round,
        started_with=Path(record.start.name).name,
        started_with_revision=record.start.revision,
        model=Path(record.model.name).name,
        revision=record.model.revision,
        published=" @ ".join(part for part in (record.model.repo, record.model.tag) if part),
        samples_each=record.samples_each,
        instructions=record.trained_on.instructions,
        chosen=record.rows.chosen,
        rejected=record.rows.rejected,
        steps=record.steps,
        gain=record.gain,
        decision=record.decision,
    )
