"""Shells whose users may do less than the one who runs the tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_CAPABILITIES = (
    "chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service sys_chroot mknod audit_write setfcap"
)
"""Docker's default ones."""


def _allowed(names: str) -> list[str]:
    return ["--cap-drop", "ALL", *(part for name in names.split() for part in ("--cap-add", f"cap_{name}"))]


_ROOT, _USER = ["--uid", "0", "--gid", "0"], ["--uid", "1000", "--gid", "1000"]
_REFUSED = "--disable-userns"
_USERS = {
    "user": [_REFUSED, *_USER, "--cap-drop", "ALL"],
    "user with a bounding set": [
        _REFUSED, *_USER, *_allowed(_CAPABILITIES), "setpriv", "--inh-caps=-all", "--ambient-caps=-all"
    ],
    "root under another number": [*_USER, "--cap-drop", "ALL"],
    "root": [_REFUSED, *_ROOT, *_allowed(_CAPABILITIES)],
    "root without setpcap": [_REFUSED, *_ROOT, *_allowed(_CAPABILITIES.replace(" setpcap", ""))],
}  # fmt: skip
"""What makes a shell's user; all but one are refused namespaces, as in containers. With a bounding set that they cannot
shrink, and no capability, ordinary users are in docker and outside of containers.
"""
_ORDINARY = 54_321
_READ_ONLY = [
    "bwrap", "--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--tmpfs", "/tmp",
    "--setenv", "HOME", "/tmp", "--setenv", "PLUM_HUB_HOME", "/tmp/home", "--chdir", str(ROOT),
]  # fmt: skip


def as_ordinary_user(*command: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in a read-only shell as a user of this machine who is not root; skip where root cannot make it.

    Args:
        command: Python's arguments.

    Returns:
        The process that ended.
    """
    if os.getuid() != 0:
        pytest.skip("the other tests run as an ordinary user here")
    places = [Path(place).resolve() for place in (sys.base_prefix, sys.prefix, ROOT)]
    above = [list(reversed(place.parents)) for place in places]
    closed = {next((folder for folder in one if folder.stat().st_mode & 5 != 5), None) for one in above} - {None}
    new = {folder for one in above for folder in one if any(folder.is_relative_to(str(top)) for top in closed)}
    shell = [*_READ_ONLY, "--dev-bind", "/proc", "/proc", "--chmod", "1777", "/tmp"]
    # Folders above the interpreter or the project may be closed to others, as a home is; here they are open and bare.
    shell += [part for top in closed for part in ("--tmpfs", str(top))]
    shell += [part for folder in sorted(new - closed) for part in ("--dir", str(folder))]
    shell += [part for place in places for part in ("--ro-bind", str(place), str(place))]
    user = f"--reuid={_ORDINARY} --regid={_ORDINARY} --clear-groups --inh-caps=-all --ambient-caps=-all"
    return _run([*shell, "setpriv", *user.split()], command)


def in_shell(user: str, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in a read-only shell; skip where this machine cannot make it.

    Args:
        user: Of `_USERS`.
        command: Python's arguments.

    Returns:
        The process that ended.
    """
    return _run([*_READ_ONLY, "--proc", "/proc", "--unshare-user", "--unshare-pid", *_USERS[user]], command)


def _run(shell: list[str], command: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed (apt-get install bubblewrap)")
    tried = subprocess.run([*shell, sys.executable, "-c", "import plum_hub"], capture_output=True, check=False)
    if tried.returncode:
        said = tried.stderr.decode(errors="replace").strip().splitlines()
        pytest.skip(f"bubblewrap can make no such shell on this machine, or Python does not start there: {said[-1:]}")
    return subprocess.run([*shell, sys.executable, *command], capture_output=True, text=True, check=False)
