"""`strengthen`: the next version of a release, whose suites have more cases."""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from plum_hub.api.settings import StrPath, optional_path
from plum_hub.errors import UsageError
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.stronger import prepare_stronger, source_of, strengthen_run, try_strengthening
from plum_hub.progress import LoggedProgress, Progress
from plum_hub.publishing.account import check_account
from plum_hub.publishing.push_dataset import push
from plum_hub.publishing.repository import PublishOptions, Released
from plum_hub.release.lineage import AddedCases
from plum_hub.slug import slug


@dataclass(frozen=True, kw_only=True)
class StrengthenResult:
    """What was added to a release."""

    source: str
    """The release that was strengthened."""
    added: AddedCases
    """Suites, those that got cases, and cases."""
    run: Path | None = None
    """The new run; None if nothing was to be made."""
    release: Released | None = None
    """The new release; None with `dry_run`, and if no suite got a case."""

    def as_json(self) -> dict[str, object]:
        """Return the result as JSON values."""
        return {
            "source": self.source,
            **asdict(self.added),
            "run": None if self.run is None else str(self.run),
            "release": None if self.release is None else asdict(self.release),
        }


def strengthen(
    source: StrPath,
    *,
    run: StrPath | None = None,
    most: int = 5,
    by: Literal["mutants", "samples", "inputs"] = "mutants",
    repo: str | None = None,
    hub: str = "auto",
    private: bool = False,
    tag: str | None = None,
    branch: str = "main",
    create_pr: bool = False,
    benchmark_data: StrPath | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> StrengthenResult:
    """Add cases to the test suites of a published dataset, and publish it as its next version.

    Inputs are variations of those of the suites; the reference solution gives the expected values. Samples of the
    suites that get cases are judged again, and labels follow. No model is asked. The same call resumes what was
    interrupted.

    Args:
        source: The release, `REPO@TAG`, or a run folder, for its last release.
        run: Folder for the release as it was (`parent`) and the new run (`run`). Default: `runs/NAME-TAG-stronger`.
        most: Most cases that are added to a suite, as `suites.strengthen`.
        by: `mutants`: only cases that fail a mutant of the reference that the suite lets pass. `samples`: then those
            that tell samples apart which have passed the same cases. `inputs`: further ones too, until there are
            `most`.
        repo: `NAME` or `NAMESPACE/NAME` of the new version. Default: that of the release.
        hub: Where the release is and the new one goes: `auto` (for a run folder, where it was published), `public`,
            `embedded`, a URL; or `none` to look in `auto` and publish nothing.
        private: Whether to create the repository as private.
        tag: The new release's tag. Default: the version that follows from the content.
        branch: The branch to commit to.
        create_pr: Whether to open a pull request instead of committing; nothing is tagged.
        benchmark_data: A folder of benchmarks; rows that contain their problems are left out.
        dry_run: Whether to find out only what would be added; nothing is kept or published.
        progress: Receives the progress of each stage.

    Returns:
        What was added, and the release.

    Raises:
        UsageError: The source is neither a release nor a published run, or the arguments contradict each other.
        RunError: The folder holds something else, or cannot be written.
        NothingToReleaseError: With the new cases, no instruction has a chosen answer.
        SandboxError: Programs cannot be run on this machine.
        HubError: The Hub cannot be reached or refuses.

    Example:
        >>> result = plum_hub.strengthen("me/plum-starter@v1.0.0")
        >>> result.added.cases, result.release
    """
    if most < 1:
        raise UsageError(f"--most {most}: give at least 1")
    named, where = source_of(str(source), "auto" if hub == "none" else hub)
    progress = progress or LoggedProgress()
    if dry_run:
        with tempfile.TemporaryDirectory(prefix="plum-strengthen-") as place:
            return StrengthenResult(source=named, added=try_strengthening(named, Path(place), where, most, by))
    options = PublishOptions.chosen(
        repo=repo or (named.partition("@")[0] if hub != "none" else None),
        hub=hub if hub == "none" else where, private=private, tag=tag, branch=branch, create_pr=create_pr,
    )  # fmt: skip
    folder = optional_path(run) or Path("runs") / f"{slug(named)}-{slug(named.partition('@')[2])}-stronger"
    check_account(options, progress.say)
    parent, stronger = prepare_stronger(named, folder, where, most, by)
    context = Context(run=stronger, progress=progress, benchmark_data=optional_path(benchmark_data))
    added = strengthen_run(parent, stronger, context)
    released = push(context, options) if added.cases else None
    return StrengthenResult(source=named, added=added, run=stronger.folder, release=released)
