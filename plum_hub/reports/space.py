"""A report as a static Space beside its dataset: the page as `index.html`, a card, and the figures as JSON."""

import json
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from plum_hub.files import write_whole, writing
from plum_hub.progress import Progress
from plum_hub.publishing.repository import PublishOptions, Released
from plum_hub.release.manifest import CARD, MANIFEST, hashed_file
from plum_hub.release.record import last_release
from plum_hub.release.versions import Stated
from plum_hub.reports.gather import Gathered
from plum_hub.reports.templates import cell
from plum_hub.reports.write import JSON, PAGE, WrittenReport
from plum_hub.slug import slug

FOLDER, INDEX = "space", "index.html"
"""The folder of the Space within a report, and its page."""


def publish_space(written: WrittenReport, gathered: Gathered, options: PublishOptions, progress: Progress) -> Released:
    """Publish a report as a static Space; one that is published already changes nothing.

    Args:
        written: The report.
        gathered: What it is about.
        options: Where to publish. The default name is that of the dataset with `-report`.
        progress: Progress reporter.

    Returns:
        The release.

    Raises:
        HubError: The Hub cannot be reached or refuses.
        RunError: The files cannot be written.
    """
    datasets = _datasets(gathered)
    name = slug(written.content.title) if not datasets else datasets[0].rpartition("/")[2]
    with options.open(f"{name[:89].rstrip('-.')}-report", "space") as repository:
        line = f"hf download {repository.repo} --repo-type space --revision {{}}"
        return repository.publish(lambda _: _SpaceTree(written, datasets), line.format, progress)


class _SpaceTree:
    """The files of the Space. None of them names the version, so they are the same under every tag."""

    def __init__(self, written: WrittenReport, datasets: Sequence[str]) -> None:
        self.folder = written.folder / FOLDER
        with writing(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            shutil.copyfile(written.folder / PAGE, self.folder / INDEX)
            shutil.copyfile(written.folder / JSON, self.folder / JSON)
        write_whole(self.folder / CARD, _card(written, datasets))
        files = [hashed_file(self.folder, path) for path in sorted(self.folder.iterdir())]
        self._manifest: dict[str, Any] = {
            "lineage": {"report": written.content.title, "datasets": list(datasets)},
            "columns": {},
            "files": [{"path": file.path, "sha256": file.sha256, "size": file.size, "rows": None} for file in files],
        }
        write_whole(self.folder / MANIFEST, json.dumps(self._manifest, indent=2, ensure_ascii=False) + "\n")

    @property
    def manifest(self) -> Stated:
        """Content of the manifest."""
        return self._manifest

    def under(self, tag: str, _: Stated | None) -> Stated:  # noqa: ARG002 - no file names the tag
        """Return the manifest, which is the same under every tag.

        Args:
            tag: The tag.
        """
        return self._manifest


def _datasets(gathered: Gathered) -> list[str]:
    """Return the repositories of the datasets that the report is about."""
    names = [found.name.partition("@")[0] for found in gathered.of_kind("release") if "@" in found.name]
    for found in gathered.of_kind("build"):
        last = last_release(found.path)
        names += [last.repo] if last else []
    return list(dict.fromkeys(names))


def _card(written: WrittenReport, datasets: Sequence[str]) -> str:
    title = " ".join(written.content.title.split())
    values: Mapping[str, Any] = {
        "title": f"Report: {title}"[:120],
        "emoji": "📊",
        "colorFrom": "blue",
        "colorTo": "green",
        "sdk": "static",
        "app_file": INDEX,
        "pinned": False,
        "tags": ["plum", "plum-hub", "arxiv:2406.06887"],
        **({"datasets": list(datasets)} if datasets else {}),
    }
    front = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)
    about = "".join(f"- dataset [{cell(name)}](/datasets/{name})\n" for name in datasets)
    return (
        f"---\n{front}---\n# Report: {cell(title)}\n\n{about}\nMade by plum-hub {written.content.version}: rows by "
        f"stage, training curves, results with intervals, the paper's tables, and an explorer of every sample. "
        f"`{JSON}` has the figures.\n"
    )
