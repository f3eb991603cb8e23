"""Names of folders and repositories from those of models, datasets and files."""

import re

from plum_hub.instructions.file_kinds import SUFFIXES
from plum_hub.records import digest


def slug(text: str) -> str:
    """Turn the last part of a repository name or path into a name that any Hub accepts.

    Args:
        text: A repository or path, possibly with `@TAG`, `:COLUMN` or the ending of a data file, which are removed.

    Returns:
        Lower-case ASCII letters and digits, with single `.` and `-` between them; `run` if nothing is left. A name with
        letters that no Hub accepts ends in a digest, so that two such names stay two.
    """
    last = text.rstrip("/").split("/")[-1].split("@")[0].split(":")[0]
    ending = next((one for one in sorted(SUFFIXES, key=len, reverse=True) if last.lower().endswith(one)), "")
    last = last[: len(last) - len(ending)]
    name = re.sub(r"[^a-z0-9.]+|[.-]{2,}", "-", last.lower()).strip("-.") or "run"
    return name if last.isascii() else f"{name}-{digest(last)[:8]}"
