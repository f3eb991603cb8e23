"""What is asked of `verify`."""

from dataclasses import dataclass
from pathlib import Path

from plum_hub.execution.base import SandboxName
from plum_hub.hubs.client import Kind


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """What to verify, and how."""

    repo: str
    version: str
    hub: str = "auto"
    sample: int | None = None
    """Judge so many samples only, drawn by `seed`; None for all."""
    seed: int = 0
    commit: str | None = None
    """The commit that the version stands for, by the caller's own record."""
    run: Path | None = None
    """The run that published it, whose `releases.jsonl` is a record too."""
    workers: int | None = None
    sandbox: SandboxName = "auto"
    kind: Kind | None = None
    """What the repository holds; None for whichever there is, a dataset first."""
    base: Path | None = None
    """A copy of the model that was trained, to be compared."""
