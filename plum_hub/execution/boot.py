"""Shuts one jail from outside in, and becomes its zygote.

Runs in a fresh interpreter with no environment and one socket. This process stays outside and waits; its child is the
first process of a new pid namespace, builds the root it will live in, gives up everything it could do, and only then
starts the interpreter (`zygote.py`) that forks programs. That interpreter never loads ctypes.
"""

import contextlib
import json
import os
import resource
import select
import signal
from pathlib import Path
from typing import Any

from plum_hub.execution import filters, kernel
from plum_hub.execution.kernel import LayerError
from plum_hub.execution.visibility import DEVICES, MEMORY_READERS, NOBODY, STACK_BYTES
from plum_hub.execution.wire import send

_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin")
_LINKS = {"/dev/stdin": "0", "/dev/stdout": "1", "/dev/stderr": "2"}
_IN_JAIL = tuple(
    f"{name}.py"
    for name in (
        "__init__", "zygote", "sandbox_child", "compiler", "internals", "preparation", "probe", "reserved", "scratch",
        "trusted", "values", "visibility", "wire",
    )
)  # fmt: skip
_OLD = "/.old"
_RESERVED = ("/tmp", "/dev", "/proc", "/jail")
"""Folders of the jail's own: an interpreter that lives below one of them is shown at `_MOVED`."""
_MOVED = "/python"
_PACKAGES = "/packages"
"""Where numpy is shown to programs that may use it."""
_START = (
    "import sys; sys.path.insert(0, '/jail'); from plum_hub.execution.zygote import main; "
    "sys.path.remove('/jail'); main(int(sys.argv[1]), *sys.argv[2:])"
)


def main(argument: str) -> None:
    """Shut a jail and serve in it.

    Args:
        argument: JSON with `socket` (a file descriptor), `python` (the interpreter), `prefix` (its folder),
            `library` (its standard library), `source` (the folder of this package), `scratch_mb` and, if it has a
            control group, `cgroups` (its folders, removed at the end); `core`, if it
            is to stay on one; and, if programs may use numpy, `packages` (the folder that it is installed in).
    """
    settings = json.loads(argument)
    judge = os.getppid()
    groups = [Path(folder) for folder in settings.get("cgroups", [])]
    try:
        above = [(group.name, os.open(group.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) for group in groups]
        _enter_namespaces()
        init = os.fork()
    except (LayerError, OSError) as error:
        report(settings["socket"], error)
        return
    if init == 0:
        _become_zygote(settings)
    send(settings["socket"], {"init": init})
    _wait(init, judge, settings["socket"])
    for name, parent in above:
        with contextlib.suppress(OSError):  # the judge may have been first
            os.rmdir(name, dir_fd=parent)


def report(socket: int, error: LayerError | OSError) -> None:
    """Tell the judge the layer that failed."""
    layer, reason = (error.layer, error.reason) if isinstance(error, LayerError) else ("files", str(error))
    send(socket, {"failed": layer, "reason": reason})


def _wait(init: int, judge: int, socket: int) -> None:
    """Outlive the jail, but not the judge: whichever way the judge goes, the jail ends within a second."""
    poller = select.poll()
    poller.register(os.pidfd_open(init), select.POLLIN)
    poller.register(socket, select.POLLRDHUP)
    while os.getppid() == judge and not poller.poll(1000):
        pass
    os.kill(init, signal.SIGKILL)  # not yet reaped, so the number is still its own
    os.waitpid(init, 0)


def _enter_namespaces() -> None:
    if os.getuid() != 0:
        _enter_user_namespace(_own_folder())
    kernel.unshare(
        "namespaces",
        kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS,
    )


def _own_folder() -> int:
    return os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _enter_user_namespace(own_folder: int) -> None:
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare("user namespace", kernel.CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("gid_map", f"{gid} {gid} 1"), ("uid_map", f"{uid} {uid} 1")):
        file = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=own_folder)
        os.write(file, text.encode())
        os.close(file)
    os.close(own_folder)


def _become_zygote(settings: dict[str, Any]) -> None:
    """Never returns: becomes the zygote, or reports the layer that failed."""
    try:
        os.setsid()  # else a signal to a program's own process group would reach the process that waits outside
        own_folder = _own_folder()
        prefix = settings["prefix"]
        target = _MOVED if any(Path(prefix).is_relative_to(folder) for folder in _RESERVED) else prefix
        readable = _build_root(settings, target)
        _drop_root(own_folder)
        os.chdir("/tmp")
        kernel.drop_capabilities()
        kernel.prctl("no_new_privs", kernel.PR_SET_NO_NEW_PRIVS, 1)
        if filters.landlock_version():
            filters.install_landlock(readable, ["/tmp", *DEVICES])
        if settings["core"] is not None:
            os.sched_setaffinity(0, {settings["core"]})
        filters.install_seccomp()
        resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES, STACK_BYTES))
        kernel.prctl("parent's death signal", kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        socket = settings["socket"]
        os.set_inheritable(socket, True)
        python = target + settings["python"].removeprefix(prefix)
        flags = ["-s", "-S", "-P", "-B", "-X", "utf8", "-c", _START, str(socket)]
        flags += [_PACKAGES] if settings["packages"] else []
        # The same seed in every jail, so that the order of a set never changes a verdict.
        environment = {
            "PYTHONHASHSEED": "0",
            "OPENBLAS_NUM_THREADS": "1",
            "LD_LIBRARY_PATH": f"{target}/lib" if target == _MOVED else "",
        }
        os.execve(python, [python, *flags], environment)
    except (LayerError, OSError) as error:
        report(settings["socket"], error)
    finally:
        os._exit(1)


def _build_root(settings: dict[str, Any], target: str) -> list[str]:
    """Make the only files that there will be, the interpreter's folder at `place`, and return the folders that hold
    programs and libraries."""
    sources = read_sources(settings["source"])
    Path("/proc/self/oom_score_adj").write_text("1000")  # when the machine runs out of memory, programs go first
    kernel.mount("none", "/", "none", kernel.MS_REC | kernel.MS_PRIVATE)
    hidden = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", "/tmp", "tmpfs", hidden, "mode=755,size=4m")
    Path("/tmp" + _OLD).mkdir()
    kernel.pivot_root("/tmp", "/tmp" + _OLD)
    os.chdir("/")
    targets = {path: path for path in _SYSTEM} | {settings["prefix"]: target}
    readable = [_bind(path, targets[path]) for path in targets if Path(_OLD + path).is_dir()]
    if packages := settings["packages"]:
        for name in ("numpy", "numpy.libs"):
            if Path(f"{_OLD}{packages}/{name}").is_dir():
                _bind(f"{packages}/{name}", f"{_PACKAGES}/{name}")
        readable.append(_PACKAGES)
    _make_devices()
    _hide_memory_readers(target + settings["library"].removeprefix(settings["prefix"]))
    write_sources(sources, "/jail")
    for folder in ("/tmp", "/proc"):
        Path(folder).mkdir()
    options = f"mode=1777,size={settings['scratch_mb']}m,nr_inodes=4k"
    kernel.mount("tmpfs", "/tmp", "tmpfs", hidden | kernel.MS_NOEXEC, options)
    kernel.mount("/tmp", "/dev/shm", "none", kernel.MS_BIND)
    if filters.landlock_version():  # which hides its secrets; else there is no /proc
        _mount_proc(hidden | kernel.MS_NOEXEC)
    kernel.detach(_OLD)
    Path(_OLD).rmdir()
    kernel.make_read_only("/", recursive=False)
    return [*readable, "/jail"]


def _mount_proc(flags: int) -> None:
    """For `/dev/stdin` and its like; where a container masks its own /proc the kernel refuses, and they are missing.

    What the zygote has open stays hidden: a pipe can be opened anew through /proc/1/fd, whatever Landlock says."""
    try:
        kernel.mount("proc", "/proc", "proc", flags)
    except LayerError:
        return
    kernel.mount("tmpfs", "/proc/1", "tmpfs", flags | kernel.MS_RDONLY, "mode=0,size=4k")


def _bind(path: str, target: str) -> str:
    """Show one of the machine's folders, read-only, at its place in the new root."""
    old, new = Path(_OLD + path), Path(target)
    if old.is_symlink():
        new.symlink_to(old.readlink())
    elif not new.is_dir():
        new.mkdir(mode=0o755, parents=True)
        kernel.mount(str(old), target, "none", kernel.MS_BIND | kernel.MS_REC)
        kernel.make_read_only(target, recursive=True)
    return target


def _hide_memory_readers(library: str) -> None:
    """Hide every native module with which Python code reads its own process's memory, and all installed packages,
    which may have more of them."""
    packages = [*Path("/usr/lib").glob("python3*"), *Path("/usr/local/lib").glob("python3*")]
    packages += [Path(library, name) for name in ("site-packages", "dist-packages")]
    for folder in packages:
        if folder.is_dir() and not Path(library).is_relative_to(folder):
            kernel.mount("tmpfs", str(folder), "tmpfs", kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV)
    for pattern in MEMORY_READERS:
        for module in Path(library, "lib-dynload").glob(pattern):
            kernel.mount("/dev/null", str(module), "none", kernel.MS_BIND)


def _make_devices() -> None:
    Path("/dev/shm").mkdir(mode=0o755, parents=True)
    for device in DEVICES:
        Path(device).touch()
        kernel.mount(_OLD + device, device, "none", kernel.MS_BIND)
    for link, number in _LINKS.items():
        Path(link).symlink_to(f"/proc/self/fd/{number}")


def read_sources(folder: str) -> dict[str, bytes]:
    """The modules that a zygote needs, by their names."""
    return {name: Path(folder, name).read_bytes() for name in _IN_JAIL}


def write_sources(sources: dict[str, bytes], folder: str) -> None:
    """Write them where a zygote imports them from."""
    package = Path(folder, "plum_hub", "execution")
    package.mkdir(mode=0o755, parents=True)
    for name, source in {"../__init__.py": b"", **sources}.items():
        (package / name).write_bytes(source)


def _drop_root(own_folder: int) -> None:
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        kernel.prctl("user namespace", kernel.PR_SET_DUMPABLE, 1)  # or /proc/self belongs to root
        _enter_user_namespace(own_folder)
