"""Build one jail from outside in, and become its zygote.

Runs in a fresh interpreter with an empty environment and one socket. This process stays outside and waits; its child is
the first process of a new pid namespace, builds the root filesystem it will live in, gives up all privileges, and only
then starts the interpreter (`zygote.py`) that forks programs. That interpreter never loads ctypes.
"""

import contextlib
import json
import os
import select
import signal
from pathlib import Path
from typing import Any

from plum_hub.execution import filters, kernel
from plum_hub.execution.kernel import LayerError
from plum_hub.execution.visibility import (
    DEVICES,
    MEMORY_READERS,
    NOBODY,
    THREAD_STACK_BYTES,
    interpreter_environment,
    limit_stack,
)
from plum_hub.execution.wire import send

_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin")
_LINKS = {"/dev/stdin": "0", "/dev/stdout": "1", "/dev/stderr": "2"}
_IN_JAIL = tuple(
    f"{name}.py"
    for name in (
        "__init__", "zygote", "sandbox_child", "compiler", "frames", "internals", "leaving", "probe", "reserved",
        "scratch", "trusted", "values", "visibility", "wire",
    )
)  # fmt: skip
_OLD = "/.old"
_RESERVED = ("/tmp", "/dev", "/proc", "/jail")
"""Folders of the jail itself: an interpreter installed below one of them appears at `_MOVED`."""
_MOVED = "/python"
_PACKAGES = "/packages"
"""Where numpy and pandas are mounted for programs that may use them."""
_START = (
    "import sys; sys.path.insert(0, '/jail'); from plum_hub.execution.zygote import main; "
    "sys.path.remove('/jail'); main(int(sys.argv[1]), *sys.argv[2:])"
)


def main(argument: str) -> None:
    """Build a jail and serve in it.

    Args:
        argument: JSON with `socket` (a file descriptor), `python` (path of the interpreter), `prefix` (its folder),
            `library` (its standard library), `source` (the folder of this package), `scratch_mb`, `cgroups` (folders of
            the jail's control group, removed at the end), `core` (the processor core to stay on, or null),
            `packages` (paths of the packages that programs may use: numpy, or numpy and pandas) and `elsewhere`
            (whether programs get other surroundings).
    """
    os.umask(0o022)  # programs run as another user, and must be able to read what is made here
    settings = json.loads(argument)
    judge = os.getppid()
    groups = [Path(folder) for folder in settings.get("cgroups", [])]
    try:
        above = [(group.name, os.open(group.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) for group in groups]
        _enter_namespaces()
        init = os.fork()
    except (LayerError, OSError, ValueError) as error:
        report(settings["socket"], error)
        return
    if init == 0:
        _become_zygote(settings)
    send(settings["socket"], {"init": init})
    _wait(init, judge, settings["socket"])
    for name, parent in above:
        with contextlib.suppress(OSError):  # the judge may have removed it already
            os.rmdir(name, dir_fd=parent)


def report(socket: int, error: LayerError | OSError | ValueError) -> None:
    """Report to the judge the layer that failed.

    Args:
        socket: File descriptor of the socket to the judge.
        error: The failure; all but a `LayerError` are reported as layer `files`.
    """
    layer, reason = (error.layer, error.reason) if isinstance(error, LayerError) else ("files", str(error))
    send(socket, {"failed": layer, "reason": reason})


def _wait(init: int, judge: int, socket: int) -> None:
    """Wait for the jail to end, or kill it within a second if the judge is gone."""
    poller = select.poll()
    poller.register(os.pidfd_open(init), select.POLLIN)
    poller.register(socket, select.POLLRDHUP)
    while os.getppid() == judge and not poller.poll(1000):
        pass
    os.kill(init, signal.SIGKILL)  # not reaped yet, so the pid cannot have been reused
    os.waitpid(init, 0)


def _enter_namespaces() -> None:
    """Unshare every namespace that a jail needs; an ordinary user gets a user namespace first."""
    if os.getuid() != 0:
        _enter_user_namespace(_own_folder())
    kernel.unshare(
        "namespaces",
        kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS,
    )


def _own_folder() -> int:
    return os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _enter_user_namespace(own_folder: int) -> None:
    """Enter a user namespace in which this user and group keep their numbers."""
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare("user namespace", kernel.CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("gid_map", f"{gid} {gid} 1"), ("uid_map", f"{uid} {uid} 1")):
        file = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=own_folder)
        os.write(file, text.encode())
        os.close(file)
    os.close(own_folder)


def _become_zygote(settings: dict[str, Any]) -> None:
    """Become the zygote, or report the layer that failed. Never returns."""
    try:
        os.setsid()  # otherwise a signal to a program's process group would reach the process outside
        own_folder = _own_folder()
        prefix = settings["prefix"]
        target = _MOVED if any(Path(prefix).is_relative_to(folder) for folder in _RESERVED) else prefix
        readable = _build_root(settings, target)
        _drop_root(own_folder)
        _require_readable(settings["packages"])
        os.chdir("/tmp")
        kernel.drop_capabilities()
        kernel.prctl("no_new_privs", kernel.PR_SET_NO_NEW_PRIVS, 1)
        if filters.landlock_version():
            filters.install_landlock(readable, ["/tmp", *DEVICES])
        if settings["core"] is not None:
            os.sched_setaffinity(0, {settings["core"]})
        filters.install_seccomp()
        limit_stack(THREAD_STACK_BYTES)
        kernel.prctl("parent's death signal", kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        socket = settings["socket"]
        os.set_inheritable(socket, True)
        python = target + settings["python"].removeprefix(prefix)
        flags = ["-s", "-S", "-P", "-B", "-X", "utf8", "-c", _START, str(socket)]
        flags += [_PACKAGES] if settings["packages"] else []
        environment = {
            **interpreter_environment(elsewhere=settings["elsewhere"]),
            "OPENBLAS_NUM_THREADS": "1",
            "LD_LIBRARY_PATH": f"{target}/lib" if target == _MOVED else "",
        }
        os.execve(python, [python, *flags], environment)
    except (LayerError, OSError, ValueError) as error:
        report(settings["socket"], error)
    finally:
        os._exit(1)


def _build_root(settings: dict[str, Any], target: str) -> list[str]:
    """Build the root filesystem, with the interpreter at `target`.

    Returns the folders that hold programs and libraries.
    """
    sources = read_sources(settings["source"])
    Path("/proc/self/oom_score_adj").write_text("1000")  # under memory pressure the kernel kills programs first
    kernel.mount("none", "/", "none", kernel.MS_REC | kernel.MS_PRIVATE)
    hidden = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", "/tmp", "tmpfs", hidden, "mode=755,size=4m")
    Path("/tmp" + _OLD).mkdir()
    kernel.pivot_root("/tmp", "/tmp" + _OLD)
    os.chdir("/")
    targets = {path: path for path in _SYSTEM} | {settings["prefix"]: target}
    readable = [_bind(path, targets[path]) for path in targets if Path(_OLD + path).is_dir()]
    if packages := settings["packages"]:
        for package in packages:
            _bind(package, f"{_PACKAGES}/{Path(package).name}")
        readable.append(_PACKAGES)
    _make_devices()
    _hide_memory_readers(target + settings["library"].removeprefix(settings["prefix"]))
    write_sources(sources, "/jail")
    for folder in ("/tmp", "/proc"):
        Path(folder).mkdir()
    options = f"mode=1777,size={settings['scratch_mb']}m,nr_inodes=4k"
    kernel.mount("tmpfs", "/tmp", "tmpfs", hidden | kernel.MS_NOEXEC, options)
    kernel.mount("/tmp", "/dev/shm", "none", kernel.MS_BIND)
    if filters.landlock_version():  # Landlock hides the secrets in /proc; without it, /proc is not mounted
        _mount_proc(hidden | kernel.MS_NOEXEC)
    kernel.detach(_OLD)
    Path(_OLD).rmdir()
    kernel.make_read_only("/", recursive=False)
    return [*readable, "/jail"]


def _mount_proc(flags: int) -> None:
    """Mount /proc, which provides `/dev/stdin` and similar.

    In a container that masks its own /proc the kernel refuses, and these paths are missing. The zygote's own entry is
    hidden: a pipe can be reopened through /proc/1/fd, which Landlock does not prevent.
    """
    try:
        kernel.mount("proc", "/proc", "proc", flags)
    except LayerError:
        return
    kernel.mount("tmpfs", "/proc/1", "tmpfs", flags | kernel.MS_RDONLY, "mode=0,size=4k")


def _bind(path: str, target: str) -> str:
    """Mount a folder or file of the machine read-only at `target` in the new root."""
    old, new = Path(_OLD + path), Path(target)
    if old.is_symlink():
        new.symlink_to(old.readlink())
    elif not new.exists():
        if old.is_dir():
            new.mkdir(mode=0o755, parents=True)
        else:
            new.touch()
        kernel.mount(str(old), target, "none", kernel.MS_BIND | kernel.MS_REC)
        kernel.make_read_only(target, recursive=True)
    return target


def _hide_memory_readers(library: str) -> None:
    """Hide what could read the interpreter's own memory.

    These are native modules of the standard library, and all installed packages, which may contain more of them.
    """
    packages = [*Path("/usr/lib").glob("python3*"), *Path("/usr/local/lib").glob("python3*")]
    packages += [Path(library, name) for name in ("site-packages", "dist-packages")]
    for folder in packages:
        if folder.is_dir() and not Path(library).is_relative_to(folder):
            kernel.mount("tmpfs", str(folder), "tmpfs", kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV)
    for pattern in MEMORY_READERS:
        for module in Path(library, "lib-dynload").glob(pattern):
            kernel.mount("/dev/null", str(module), "none", kernel.MS_BIND)


def _require_readable(packages: list[str]) -> None:
    """Raise a `LayerError` for a package that the user of programs may not read: Python would find an empty one."""
    for package in packages:
        if not os.access(f"{_PACKAGES}/{Path(package).name}", os.R_OK):
            raise LayerError("packages", f"others may not read {package}: `chmod -R go+rX {package}`")


def _make_devices() -> None:
    """Create /dev with a few harmless devices."""
    Path("/dev/shm").mkdir(mode=0o755, parents=True)
    for device in DEVICES:
        Path(device).touch()
        kernel.mount(_OLD + device, device, "none", kernel.MS_BIND)
    for link, number in _LINKS.items():
        Path(link).symlink_to(f"/proc/self/fd/{number}")


def read_sources(folder: str) -> dict[str, bytes]:
    """Read the modules that a zygote needs.

    Args:
        folder: The folder of this package.

    Returns:
        File contents by file name.
    """
    return {name: Path(folder, name).read_bytes() for name in _IN_JAIL}


def write_sources(sources: dict[str, bytes], folder: str) -> None:
    """Write the modules to where a zygote imports them from.

    Args:
        sources: What `read_sources` returned.
        folder: An existing or new folder; it becomes an entry of `sys.path`.
    """
    package = Path(folder, "plum_hub", "execution")
    package.mkdir(mode=0o755, parents=True)
    for name, source in {"../__init__.py": b"", **sources}.items():
        (package / name).write_bytes(source)


def _drop_root(own_folder: int) -> None:
    """Become an unprivileged user, in a user namespace, if this process is root."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        kernel.prctl("user namespace", kernel.PR_SET_DUMPABLE, 1)  # otherwise /proc/self belongs to root
        _enter_user_namespace(own_folder)
