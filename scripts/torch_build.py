"""Tell whether torch is a build without CUDA, whose libraries are gigabytes: exit status 0, else 1 and one line with
the
reason.

scripts/torch_build.py              the torch that is installed in this environment, without importing it
scripts/torch_build.py REPORT       the torch that pip would install, by the --report of its dry run
"""

import json
import platform
import re
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

MEND = (
    "make PyTorch's index of CPU builds reachable (https://download.pytorch.org/whl/cpu), or put the wheel "
    "torch-2.13.0+cpu into a folder and name it, as in  PIP_FIND_LINKS=FOLDER scripts/setup cpu"
)


def installed() -> str | None:
    """Return why the installed torch is not a CPU build, or None if it is."""
    spec = find_spec("torch")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        return "torch is not installed: run  scripts/setup cpu"
    version = runpy.run_path(str(Path(folders[0]) / "version.py"))
    if version.get("cuda") is None:
        return None
    return f"torch {version['__version__']} is a build with CUDA: remove .venv, {MEND}"


def to_be_installed(report: dict[str, Any], system: str) -> str | None:
    """Return why the torch that pip would install is not a CPU build, or None if it is.

    Args:
        report: Output of `pip install --dry-run --report`.
        system: As returned by `platform.system()`; only Linux has CUDA builds with packages of their own.
    """
    for item in report["install"]:
        metadata = item["metadata"]
        if metadata["name"].lower() != "torch" or metadata["version"].endswith("+cpu") or system != "Linux":
            continue
        if any(re.match(r"(nvidia|cuda)\b", wanted) for wanted in metadata.get("requires_dist", ())):
            version = metadata["version"]
            return f"pip finds torch {version} only as a build with CUDA, gigabytes that a CPU has no use for: {MEND}"
    return None


def main() -> None:
    if len(sys.argv) > 1:
        reason = to_be_installed(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), platform.system())
    else:
        reason = installed()
    if reason:
        sys.exit(f"setup: {reason}")


if __name__ == "__main__":
    main()
