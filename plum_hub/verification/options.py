"""The options of `verify`."""

from dataclasses import dataclass
from pathlib import Path

from plum_hub.execution.base import SandboxName
from plum_hub.hubs.client import Kind


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """What to verify, and how thoroughly."""

    repo: str
    """`NAMESPACE/NAME`."""
    version: str
    """A tag, or a full commit."""
    hub: str = "auto"
    """Where the repository is: `auto`, `public`, `embedded` or a URL, as for `--hub`."""
    sample: int | None = None
    """Number of samples to judge again, drawn at random; None for all."""
    seed: int = 0
    """Seed of the draw. Whoever can predict it knows which samples are not judged."""
    commit: str | None = None
    """The commit that the version must have according to the caller's own record; at least its first 7 digits."""
    run: Path | None = None
    """The folder of the run that published it, whose `releases.jsonl` is a record too."""
    workers: int | None = None
    """Programs that run at a time; None for one on each core."""
    sandbox: SandboxName = "auto"
    """What isolates the programs; `auto` takes the first that is available."""
    kind: Kind | None = None
    """What the repository contains; None for whichever exists, a dataset first."""
    base: Path | None = None
    """For a model: a copy of its base, to compare with the one that was trained."""
