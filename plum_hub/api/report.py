"""`report`: what runs show, as tables and as a page."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike, fspath

from plum_hub.api.settings import StrPath, optional_path
from plum_hub.errors import UsageError
from plum_hub.progress import LoggedProgress, Progress
from plum_hub.publishing.repository import PublishOptions
from plum_hub.reports.gather import gather
from plum_hub.reports.space import publish_space
from plum_hub.reports.write import SAMPLES, WrittenReport, default_folder, write_report


def report(
    runs: StrPath | Sequence[StrPath],
    *,
    out: StrPath | None = None,
    title: str | None = None,
    samples: int = SAMPLES,
    hub: str = "auto",
    space: bool = False,
    repo: str | None = None,
    private: bool = False,
    progress: Progress | None = None,
) -> WrittenReport:
    """Report what runs show: the paper's tables beside the published values, figures, and a page to explore every row.

    `report.html` is one file that loads nothing and works from a disk; `report.md`, `report.json` and the pictures have
    the same figures.

    Args:
        runs: Folders of builds, trainings, evaluations, or of experiments that hold some of them; or published datasets
            as `REPO@TAG`. A trained model is compared with its base where both were evaluated.
        out: Folder of the report. Default: `runs/report-NAME`.
        title: Title of the report. Default: the names of the runs.
        samples: Most samples that the page holds; of more, instructions are taken at equal distances.
        hub: Where `REPO@TAG` is, and where the Space is published: `auto`, `public`, `embedded` or a URL.
        space: Whether to publish the page as a static Space.
        repo: Repository of the Space. Default: the name of the dataset, else of the report, with `-report`.
        private: Whether to create the Space as private.
        progress: Receives the progress.

    Returns:
        The content of the report, its files, and the Space.

    Raises:
        UsageError: No run is named, one is neither a folder nor `REPO@TAG`, or a Space is described but not asked for.
        RunError: A folder holds nothing to report, a file is damaged, or the report cannot be written.
        HubError: A dataset cannot be downloaded, or is damaged; or the Space cannot be published.
        MissingExtraError: matplotlib is not installed.

    Example:
        >>> written = plum_hub.report(["runs/starter", "runs/base", "runs/trained"], out="runs/report")
        >>> written.content.builds[0].chosen
    """
    sources = [fspath(runs)] if isinstance(runs, str | PathLike) else [fspath(run) for run in runs]
    if not sources or samples < 1:
        raise UsageError(
            "name at least one run, and let the page hold at least one sample, as in  plum_hub.report(run)"
        )
    if (repo or private) and not space:
        raise UsageError("--repo and --private describe a Space: add --space, or remove them")
    options = PublishOptions(hub=hub, repo=repo, private=private) if space else None
    gathered = gather(sources, hub, title)
    folder = optional_path(out) or default_folder(gathered.content.title)
    reporter = progress or LoggedProgress()
    written = write_report(gathered, folder, samples, reporter)
    if options is None:
        return written
    return replace(written, space=publish_space(written, gathered, options, reporter))
