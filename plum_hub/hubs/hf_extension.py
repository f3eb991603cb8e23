"""`hf plum ...`: make the Hub's own command line find this plum-hub, as `hf extensions install` would do."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from plum_hub.errors import HubError

_NAME = "hf-plum"


def register() -> Path:
    """Note in `hf`'s folder of extensions where `hf-plum` is; gives the folder. Doing it again changes nothing else.

    Raises:
        HubError: there is no `hf-plum` beside this Python, or the folder cannot be written.
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
        raise HubError(f"{folder}: {error.strerror}; give write access to it and run the same again") from error
    return folder
