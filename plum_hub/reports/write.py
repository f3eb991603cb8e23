"""The folder of a report: Markdown, JSON, pictures, and the page."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from plum_hub.files import write_whole
from plum_hub.progress import Progress
from plum_hub.publishing.repository import Released
from plum_hub.records import digest
from plum_hub.reports.content import ReportContent
from plum_hub.reports.explorer import explorer_data
from plum_hub.reports.gather import Gathered
from plum_hub.reports.page import page
from plum_hub.reports.pictures import draw_pictures, file_names
from plum_hub.reports.rows import explored
from plum_hub.reports.templates import render
from plum_hub.slug import slug
from plum_hub.training.checkpoint import METRICS
from plum_hub.training.curves import draw

MARKDOWN, JSON, PAGE = "report.md", "report.json", "report.html"
SAMPLES = 20_000
"""Samples that the page holds by default: some 10 MB."""


@dataclass(frozen=True)
class WrittenReport:
    """The files of a report."""

    content: ReportContent
    folder: Path
    files: tuple[Path, ...]
    """The page first, then Markdown, JSON and the pictures."""
    space: Released | None = None
    """The Space, where the report was published as one."""

    def as_json(self) -> dict[str, object]:
        """Return the report as JSON values: its files, the Space, and the content of `report.json`."""
        space = None if self.space is None else asdict(self.space)
        return {"files": [str(path) for path in self.files], "space": space, "content": self.content.as_json()}


def default_folder(title: str) -> Path:
    """Name the folder of a report of which none was named.

    Args:
        title: Title of the report.

    Returns:
        `runs/report-TITLE`, with a digest of titles that are not such a name as they are: reports of two titles have
        two folders.
    """
    name = slug(title)
    return Path("runs") / f"report-{name}{'' if name == title else f'-{digest(title)[:8]}'}"


def write_report(gathered: Gathered, folder: Path, samples: int, progress: Progress) -> WrittenReport:
    """Write a report. Each file is replaced in one step.

    Args:
        gathered: What it is about.
        folder: Where to write it, created if missing.
        samples: Most samples that the page holds.
        progress: Progress reporter.

    Returns:
        The files.

    Raises:
        MissingExtraError: matplotlib is not installed.
        RunError: A file cannot be written, or one of a run is damaged.
    """
    content = gathered.content
    progress.begin("report", 3, 0)
    pictures = draw_pictures(content, folder)
    trainings = gathered.of_kind("training")
    for found, name in zip(trainings, file_names(found.name for found in trainings), strict=True):
        pictures += draw(found.path / METRICS, folder / "curves" / name)
    progress.advance()
    write_whole(folder / JSON, json.dumps(content.as_json(), indent=1, ensure_ascii=False) + "\n")
    names = [path.relative_to(folder).as_posix() for path in pictures]
    write_whole(folder / MARKDOWN, _tidy(render("report.md.jinja", content=content, pictures=names)))
    progress.advance()
    builds = gathered.of_kind("build", "release")
    rows = [(found.name, *explored(found, samples // len(builds))) for found in builds]
    write_whole(folder / PAGE, page(content, explorer_data(rows)))
    progress.advance()
    progress.end()
    return WrittenReport(content, folder, (folder / PAGE, folder / MARKDOWN, folder / JSON, *pictures))


def _tidy(text: str) -> str:
    """Leave at most one empty line between two others, and none within a table."""
    lines: Sequence[str] = text.splitlines()
    kept: list[str] = []
    for line in lines:
        if line.strip() or (kept and kept[-1]):
            kept.append(line.rstrip())
    return "\n".join(kept).rstrip() + "\n"
