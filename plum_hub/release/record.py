"""Where a run or a checkpoint was published: the lines of its `releases.jsonl`."""

from pathlib import Path

from plum_hub.file_record import FileRecord

RELEASES = "releases.jsonl"
"""Name of the list, in the folder of a run or a checkpoint."""


class ReleaseRecord(FileRecord):
    """A line of `releases.jsonl`, which a run or a checkpoint keeps of each of its releases."""

    optional_keys = frozenset({"model", "license"})

    at: str | None = None
    """When it was published: ISO 8601, in UTC."""
    folder: str | None = None
    """Folder of the files that were pushed, on the machine that pushed them."""
    repo: str
    """The repository, as NAMESPACE/NAME."""
    tag: str | None
    """None for a pull request, which an early version recorded too."""
    commit: str
    """The commit with the release's files."""
    url: str | None = None
    """Page of the version, or of the pull request."""
    hub: str | None = None
    """Value of `--hub` that finds it again."""
    endpoint: str | None = None
    """Address of the Hub, unless it is the public or the embedded one."""
    load_line: str | None = None
    """Python code that loads the release."""
    model: str | None = None
    """For a whole model, `sha256:…` of its files; a training from these files finds the published name by it."""
    license: str | None = None
    """For a model, its licence."""

    @property
    def hub_option(self) -> str:
        """The `--hub` that means the same Hub, whatever tokens and variables are set now."""
        if self.hub == "embedded":
            return self.hub
        return self.endpoint or ("auto" if self.hub is None else "public")


def read_releases(folder: Path) -> list[ReleaseRecord]:
    """Read where a run or a checkpoint was published.

    Args:
        folder: The run or the checkpoint.

    Returns:
        Its releases, the newest last.

    Raises:
        RunError: A line is damaged.
    """
    return ReleaseRecord.read_all(folder / RELEASES, "a release", "restore the file, or delete this line")


def last_release(folder: Path, *, whole: bool | None = None) -> ReleaseRecord | None:
    """Read where a run or a checkpoint was published last.

    Args:
        folder: The run or the checkpoint.
        whole: Of a checkpoint, whether to look for whole models (True) or adapters (False) only, which have
            repositories of their own.

    Returns:
        The newest release that has a tag; None without any.

    Raises:
        RunError: A line is damaged.
    """
    of_kind = (one for one in reversed(read_releases(folder)) if whole in (None, one.model is not None))
    return next((release for release in of_kind if release.tag), None)
