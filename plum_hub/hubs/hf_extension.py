"""Register plum-hub as an extension of the Hub's own command line (`hf plum ...`), as `hf extensions install` does."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from plum_hub.errors import HubError

_NAME = "hf-plum"


def register() -> Path:
    """Register `hf-plum` in hf's folder of extensions. Idempotent.

    Returns:
        The extension's folder.

    Raises:
        HubError: There is no `hf-plum` beside this Python, or the folder is not writable.
    """
    from huggingface_hub.cli.extensions import EXTENSIONS_ROOT, ExtensionManifest

    executable = Path(sys.executable).parent / _NAME
    if not executable.is_file():
        raise HubError(f"{executable}: not there; install plum-hub with pip, which makes it")
    folder: Path = EXTENSIONS_ROOT.expanduser() / _NAME
    manifest = ExtensionManifest(
        owner="plum-hub",
        repo=_NAME,
        repo_id=f"plum-hub/{_NAME}",
        short_name="plum",
        executable_path=str(executable),
        type="python",
        installed_at=datetime.now(UTC),
        description="Code-preference datasets from a model's own answers.",
    )
    try:
        manifest.save(folder)
    except OSError as error:
        raise HubError(f"{folder}: {error.strerror}; give write access to it and run it again") from error
    return folder
