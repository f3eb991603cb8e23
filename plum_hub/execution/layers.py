"""Probe the layers of a sandbox one by one: whether this machine has each, and what its absence means.

Each is tried in a process of its own that ends with the attempt; nothing outside that process changes.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plum_hub.execution import cgroups, filters, kernel

_TRY = "import sys; sys.path.insert(0, sys.argv[1]); from plum_hub.execution.layers import main; main()"
_DOCKER_SECONDS = 10
_REFUSED = "programs cannot run in a jail"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of a sandbox.

    Attributes:
        name: For example `pid namespace`.
        present: Whether it works on this machine.
        needed: Whether a jail is refused without it.
        says: Its version, or why it is missing.
        without: What its absence means.
    """

    name: str
    present: bool
    needed: bool
    says: str
    without: str


_WITHOUT = {
    "Landlock": "no landlock sandbox; /proc stays unmounted in a jail, so programs that open /dev/stdin fail",
    "/proc": "programs that open /dev/stdin or /proc by name fail; isolation is not weakened",
    "cgroup memory": "the memory limit applies per process, so the 64 processes of a program can use 64 times as much",
    "cgroup pids": "only a resource limit enforces the limit of 64 processes and threads",
    "docker": "no sandbox remains where both jail and landlock are refused",
}
"""The optional layers, and what the absence of each means."""


def survey() -> list[Layer]:
    """Probe every layer.

    Returns:
        The layers in the order in which a jail applies them, then docker.
    """
    results = _probe_kernel() | _control_groups() | {"docker": _docker()}
    return [
        Layer(
            name=name, present=present, needed=name not in _WITHOUT, says=says, without=_WITHOUT.get(name, _REFUSED)
        )
        for name, (present, says) in results.items()
    ]  # fmt: skip


def _probe_kernel() -> dict[str, tuple[bool, str]]:
    """Run `main` in a fresh interpreter."""
    source = str(Path(__file__).parents[2])
    command = [sys.executable, "-I", "-S", "-B", "-c", _TRY, source]
    done = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    return {name: (present, says) for name, present, says in json.loads(done.stdout)}


def _control_groups() -> dict[str, tuple[bool, str]]:
    results = cgroups.available()
    missing = "this control group cannot be created"
    return {f"cgroup {name}": (name in results, results.get(name, missing)) for name in ("memory", "pids")}


def _docker() -> tuple[bool, str]:
    if shutil.which("docker") is None:
        return False, "not installed"
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_DOCKER_SECONDS)
    except subprocess.CalledProcessError as error:
        return False, (error.stderr.strip().splitlines() or ["its daemon does not answer"])[-1]
    except (subprocess.TimeoutExpired, OSError):
        return False, "its daemon does not answer"
    return True, f"version {done.stdout.strip()}"


def main() -> None:
    """Probe the kernel's layers and print the results as JSON."""
    print(json.dumps([[name, *_run_attempt(attempt)] for name, attempt in _ATTEMPTS.items()]))  # noqa: T201


def _enter_user_namespace() -> None:
    if os.getuid() != 0:
        kernel.unshare("user namespace", kernel.CLONE_NEWUSER)


def _enter(flags: int) -> None:
    _enter_user_namespace()
    kernel.unshare("namespaces", flags)


def _mount_scratch() -> None:
    _enter(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "none", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m")


def _make_read_only() -> None:
    _mount_scratch()
    kernel.make_read_only("/tmp", recursive=False)


def _mount_proc() -> None:
    _enter(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
    if (child := os.fork()) == 0:
        try:
            kernel.mount("none", "/", "none", kernel.MS_REC | kernel.MS_PRIVATE)
            kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV)
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        raise OSError("the container masks parts of its /proc")


def _drop_capabilities() -> None:
    _enter_user_namespace()
    kernel.drop_capabilities()


def _set_no_new_privs() -> None:
    kernel.prctl("no_new_privs", kernel.PR_SET_NO_NEW_PRIVS, 1)


def _install_seccomp() -> None:
    _set_no_new_privs()
    filters.install_seccomp()


def _install_landlock() -> str:
    if not (version := filters.landlock_version()):
        raise OSError("not available or not enabled in this kernel")
    _set_no_new_privs()
    filters.install_landlock(["/"], [])
    return f"ABI version {version}"


_ATTEMPTS: dict[str, Callable[[], object]] = {
    "user namespace": lambda: kernel.unshare("user namespace", kernel.CLONE_NEWUSER),
    "mount namespace": lambda: _enter(kernel.CLONE_NEWNS),
    "pid namespace": lambda: _enter(kernel.CLONE_NEWPID),
    "network namespace": lambda: _enter(kernel.CLONE_NEWNET),
    "ipc namespace": lambda: _enter(kernel.CLONE_NEWIPC),
    "uts namespace": lambda: _enter(kernel.CLONE_NEWUTS),
    "private scratch": _mount_scratch,
    "read-only root": _make_read_only,
    "/proc": _mount_proc,
    "dropped capabilities": _drop_capabilities,
    "no_new_privs": _set_no_new_privs,
    "seccomp": _install_seccomp,
    "Landlock": _install_landlock,
    "resource limits": lambda: resource.setrlimit(resource.RLIMIT_NPROC, (64, 64)),
}


def _run_attempt(attempt: Callable[[], object]) -> tuple[bool, str]:
    """Try a layer in a child process; return whether it works, and its version or the reason."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            detail = attempt()
            os.write(writer, b"+" + (detail if isinstance(detail, str) else "").encode())
        except kernel.LayerError as error:
            os.write(writer, b"-" + error.reason.encode())
        except (OSError, ValueError) as error:
            os.write(writer, b"-" + str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read().decode()
    return answer.startswith("+"), answer[1:]
