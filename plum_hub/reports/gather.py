"""Read everything that a report is about."""

from collections.abc import Sequence
from dataclasses import dataclass

import plum_hub
from plum_hub.reports.builds import read_build
from plum_hub.reports.content import ReportContent
from plum_hub.reports.matching import matched
from plum_hub.reports.paper import paper_tables
from plum_hub.reports.results import gains, read_evaluation, read_training
from plum_hub.reports.rounds import read_rounds
from plum_hub.reports.sources import FolderKind, FoundFolder, UnreadFolder, find
from plum_hub.reports.truth import read_truth


@dataclass(frozen=True)
class Gathered:
    """The content of a report, and the folders that it was read from."""

    content: ReportContent
    folders: tuple[FoundFolder, ...]

    def of_kind(self, *kinds: FolderKind) -> list[FoundFolder]:
        """Return the folders of some kinds.

        Args:
            kinds: The kinds.

        Returns:
            The folders, in order.
        """
        return [found for found in self.folders if found.kind in kinds]


def gather(sources: Sequence[str], hub: str, title: str | None) -> Gathered:
    """Read all that is in the named folders and datasets.

    Args:
        sources: Folders, or datasets as `REPO@TAG`.
        hub: Where the datasets are.
        title: Title of the report; None for the names of the sources.

    Returns:
        The content.

    Raises:
        UsageError: A source is neither a folder nor `REPO@TAG`.
        RunError: A folder holds nothing to report, or a file is damaged.
        TrainingError: The record of a training is damaged.
        HubError: A dataset cannot be downloaded, or is damaged.
    """
    everything = [found for source in sources for found in find(source, hub)]
    folders = _unique([found for found in everything if isinstance(found, FoundFolder)])
    skipped = [
        f"{found.name}: was left out, because it cannot be read ({found.why}); correct its permissions"
        for found in everything
        if isinstance(found, UnreadFolder)
    ]
    kinds: dict[FolderKind, list[FoundFolder]] = {}
    for found in folders:
        kinds.setdefault(found.kind, []).append(found)
    builds = [read_build(found) for kind in ("build", "release") for found in kinds.get(kind, [])]
    trainings = [read_training(found) for found in kinds.get("training", [])]
    evaluations = [read_evaluation(found) for found in kinds.get("evaluation", [])]
    results, unclear = matched(trainings, evaluations)
    measured, notes = gains(results)
    content = ReportContent(
        title=title
        or ", ".join(
            dict.fromkeys(found.name.split("/")[0] if found.kind != "release" else found.name for found in folders)
        ),
        version=plum_hub.__version__,
        builds=tuple(builds),
        trainings=tuple(one.facts for one in trainings),
        rounds=tuple(one for found in kinds.get("rounds", []) for one in read_rounds(found)),
        evaluations=tuple(one.facts for one in evaluations),
        gains=tuple(measured),
        truths=tuple(one for found in kinds.get("label-truth", []) for one in read_truth(found)),
        tables=paper_tables(builds, results, measured),
        notes=tuple(dict.fromkeys([*skipped, *unclear, *notes])),
    )
    return Gathered(content, tuple(folders))


def _unique(folders: Sequence[FoundFolder]) -> list[FoundFolder]:
    """Keep each folder once, and give folders of the same name a number."""
    seen: dict[str, int] = {}
    kept: dict[tuple[object, str], FoundFolder] = {}
    for found in folders:
        key = (found.path.resolve(), found.kind)
        if key not in kept:
            name = f"{found.kind} {found.name}"
            seen[name] = seen.get(name, 0) + 1
            number = f" ({seen[name]})" if seen[name] > 1 else ""
            kept[key] = FoundFolder(found.name + number, found.path, found.kind)
    return list(kept.values())
