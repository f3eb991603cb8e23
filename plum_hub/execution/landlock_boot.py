"""Isolate one zygote without namespaces, with Landlock and seccomp, and end it.

Three processes: this one waits outside until the judge or the zygote is gone, then kills everything below it; its child
is the supervisor (`supervisor.py`); the supervisor's child gives up its privileges and becomes the zygote. If run as
root, supervisor and zygote become a user that owns nothing else, where this machine allows it.
"""

import array
import contextlib
import json
import os
import pwd
import secrets
import select
import signal
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from plum_hub.execution import boot, container, filters, kernel, scratch
from plum_hub.execution.kernel import LayerError
from plum_hub.execution.supervisor import Supervisor
from plum_hub.execution.visibility import DEVICES, THREAD_STACK_BYTES, interpreter_environment, limit_stack
from plum_hub.execution.wire import send

_FIRST_USER, _USERS = 40_000, 20_000
_START = (
    "import sys; sys.path.insert(0, {jail!r}); from plum_hub.execution.zygote import main; "
    "sys.path.remove({jail!r}); main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))"
)


@dataclass(frozen=True)
class _SandboxFolders:
    """The folders of one sandbox and the user id that it runs as; None for the user that started it."""

    folder: str
    user: int | None

    @property
    def scratch(self) -> str:
        return f"{self.folder}/scratch"

    @property
    def jail(self) -> str:
        return f"{self.folder}/jail"

    @property
    def packages(self) -> str:
        return f"{self.folder}/packages"


def main(argument: str) -> None:
    """Isolate a zygote, wait for its end, and remove everything it left.

    Args:
        argument: JSON as for `boot.main`; also `temporary`, the folder in which the sandbox's folder is created, and
            `max_version`, the newest Landlock ABI to use.

    Raises:
        LayerError: Never to the caller; a failed layer is reported to the judge instead.
    """
    os.umask(0o022)  # programs run as another user, and must be able to read what is made here
    settings = json.loads(argument)
    judge = os.getppid()
    folder = ""
    try:
        if not filters.landlock_version():
            raise LayerError("landlock", "this kernel has no Landlock (it needs Linux 5.13), or does not allow it")
        if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
            raise LayerError(
                "processes", "/proc does not list the children of a process (kernel option CONFIG_PROC_CHILDREN)"
            )
        kernel.prctl("subreaper", kernel.PR_SET_CHILD_SUBREAPER, 1)
        folder = os.path.realpath(tempfile.mkdtemp(prefix="plum-hub-", dir=settings["temporary"]))
        folders = _SandboxFolders(folder, _user(settings))
        _populate(folders, settings)
        _run_sandbox(folders, settings, judge)
    except (LayerError, OSError, ValueError) as error:
        boot.report(settings["socket"], error)
    finally:
        _kill_children()
        if folder:
            scratch.emptied(folder)
            Path(folder).rmdir()
        for group in settings.get("cgroups", []):
            with contextlib.suppress(OSError):  # the judge may have removed it already
                Path(group).rmdir()


def _user(settings: dict[str, Any]) -> int | None:
    """Choose an unused user id, if this process may switch to it and it could read what a sandbox needs."""
    if os.getuid() != 0:
        return None
    user = _FIRST_USER + secrets.randbelow(_USERS)
    with contextlib.suppress(KeyError):
        pwd.getpwuid(user)
        return None
    child = os.fork()
    if child == 0:
        try:
            _switch_user(user)
            needed = {settings["python"]: os.X_OK, settings["temporary"]: os.X_OK}
            for path in (settings["library"], *settings["packages"]):
                needed[path] = os.R_OK | (os.X_OK if Path(path).is_dir() else 0)
            os._exit(not all(os.access(path, mode) for path, mode in needed.items()))
        finally:
            os._exit(1)
    return user if os.waitpid(child, 0)[1] == 0 else None


def _switch_user(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _populate(folders: _SandboxFolders, settings: dict[str, Any]) -> None:
    """Create the folders: the zygote's modules, links to packages, and scratch."""
    Path(folders.folder).chmod(0o711)
    boot.write_sources(boot.read_sources(settings["source"]), folders.jail)
    Path(folders.packages).mkdir(mode=0o755)
    for package in map(Path, settings["packages"]):
        Path(folders.packages, package.name).symlink_to(package.resolve())
    Path(folders.scratch).mkdir(mode=0o700)
    if folders.user is not None:
        os.chown(folders.scratch, folders.user, folders.user)


def _run_sandbox(folders: _SandboxFolders, settings: dict[str, Any], judge: int) -> None:
    """Start supervisor and zygote, and wait until one of them or the judge is gone."""
    reader, writer = os.pipe()
    if (supervisor := os.fork()) == 0:
        os.close(reader)
        _supervise(folders, settings, writer)
    os.close(writer)
    zygote = int.from_bytes(os.read(reader, 4), "little")
    os.close(reader)
    if not zygote:  # the supervisor has reported the failed layer
        return
    send(settings["socket"], {"init": zygote, "supervisor": supervisor, "user": folders.user})
    poller = select.poll()
    with contextlib.suppress(ProcessLookupError):
        poller.register(os.pidfd_open(zygote), select.POLLIN)
        poller.register(os.pidfd_open(supervisor), select.POLLIN)
        poller.register(settings["socket"], select.POLLRDHUP)
        while os.getppid() == judge and not poller.poll(1000):
            pass


def _kill_children() -> None:
    """Kill every descendant.

    Orphans become children of this process (a subreaper), and only this process can reap its children, so no pid is
    reused meanwhile.
    """
    while True:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not ended:
            for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)


def _supervise(folders: _SandboxFolders, settings: dict[str, Any], started: int) -> NoReturn:
    """Answer for the zygote, or report the layer that failed. Never returns."""
    try:
        kernel.prctl("parent's death signal", kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        kernel.drop_bounding_set()
        if folders.user is not None:
            _switch_user(folders.user)
            kernel.prctl("parent's death signal", kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user clears it
        kernel.drop_capabilities()
        kernel.prctl("supervisor", kernel.PR_SET_DUMPABLE, 1)
        kernel.prctl("no_new_privs", kernel.PR_SET_NO_NEW_PRIVS, 1)
        if settings["core"] is not None:
            os.sched_setaffinity(0, {settings["core"]})
        ours, theirs = socket.socketpair()
        if (zygote := os.fork()) == 0:
            ours.close()
            os.close(started)
            _become_zygote(folders, settings, theirs)
        theirs.close()
        os.close(settings["socket"])
        _, messages, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4))
        ours.close()
        if not messages:  # the zygote has reported the failed layer
            os._exit(1)
        listener = array.array("i", messages[0][2])[0]
        os.write(started, zygote.to_bytes(4, "little"))
        os.close(started)
        Supervisor(listener, zygote, folders.scratch, settings["scratch_mb"] << 20).serve()
    except (LayerError, OSError, ValueError) as error:
        boot.report(settings["socket"], error)
    finally:
        os._exit(1)


def _become_zygote(folders: _SandboxFolders, settings: dict[str, Any], supervisor: socket.socket) -> NoReturn:
    """Become the zygote, or report the layer that failed. Never returns."""
    try:
        os.setsid()
        kernel.prctl("parent's death signal", kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        kernel.prctl("subreaper", kernel.PR_SET_CHILD_SUBREAPER, 1)
        Path("/proc/self/oom_score_adj").write_text("1000")
        # A descriptor opened now stays readable under Landlock.
        children = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY)
        os.set_inheritable(children, True)
        os.chdir(folders.scratch)
        readable, listable = container.shown(container.hidden())
        readable += [
            folders.jail,
            folders.packages,
            *(str(path.resolve()) for path in Path(folders.packages).iterdir()),
        ]
        limit_stack(THREAD_STACK_BYTES)
        socket_number = settings["socket"]
        os.set_inheritable(socket_number, True)
        max_version = settings["max_version"]
        writable = [folders.scratch, *DEVICES]
        filters.install_landlock(readable, writable, listable, signals=True, max_version=max_version)
        listener = filters.install_gates(max_version)
        supervisor.sendmsg([b"l"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
        supervisor.close()
        python = settings["python"]
        flags = ["-s", "-S", "-P", "-B", "-X", "utf8", "-c", _START.format(jail=folders.jail), str(socket_number)]
        flags += [folders.packages if settings["packages"] else "", str(children)]
        environment = {**interpreter_environment(elsewhere=settings["elsewhere"]), "OPENBLAS_NUM_THREADS": "1"}
        os.execve(python, [python, *flags], environment)
    except (LayerError, OSError, ValueError) as error:
        boot.report(settings["socket"], error)
    finally:
        os._exit(1)
