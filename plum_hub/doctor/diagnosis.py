"""One finding of `plum-hub doctor`."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Group: TypeAlias = Literal["versions", "machine", "sandbox", "hub", "engine", "ray"]
"""What a finding is about."""
State: TypeAlias = Literal["ok", "note", "fault"]
"""`ok`; `note`, something that is missing or weak and need not matter; `fault`, with which something will fail."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """One finding, with its mend.

    Attributes:
        group: What it is about.
        name: Unique within a report.
        state: How bad it is.
        says: What was found, in one line.
        mend: The command or the setting that changes it; empty if the state is `ok`.
    """

    group: Group
    name: str
    state: State
    says: str
    mend: str = ""
