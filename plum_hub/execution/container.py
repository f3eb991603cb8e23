"""Build a sandbox from inside a docker container, and become its zygote.

The container's interpreter gets this text as its command (`python -c`) and everything else over stdin, so no file has
to be shared with the docker host. This happens twice: the first interpreter gives up what docker left it, installs
filters, and then becomes the second, fresh one, which forks programs and never loads ctypes.
"""

import importlib
import json
import os
import struct
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_LENGTHS = struct.Struct("<II")  # equals wire.LENGTHS, which cannot be imported yet
_REQUESTS, _ANSWERS = 0, 1
_READABLE_FOLDERS = ("/usr", "/lib", "/lib64", "/bin")
_SCRATCH = ("/tmp", "/dev/shm")


class _SentModules:
    """Import finder and loader for the modules received over stdin."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        package = any(other.startswith(f"{name}.") for other in self._sources)
        return ModuleSpec(name, self, is_package=package) if name in self._sources else None  # type: ignore[arg-type]

    def create_module(self, _spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        exec(compile(self._sources[name], f"<sent {name}>", "exec"), module.__dict__)


def begin() -> None:
    """Read the modules from stdin and run the step named with them: `shut`, then `serve`."""
    header, _ = _LENGTHS.unpack(_read_exactly(_LENGTHS.size))
    message = json.loads(_read_exactly(header))
    sys.meta_path.append(_SentModules(message["sources"]))
    step, *arguments = message["step"]
    getattr(importlib.import_module(message["module"]), step)(*arguments)


def _read_exactly(size: int) -> bytes:
    read = b""
    while len(read) < size:
        chunk = os.read(_REQUESTS, size - len(read))
        if not chunk:
            raise SystemExit("the judge is gone")
        read += chunk
    return read


def shut(user: int, elsewhere: bool = False) -> None:
    """Give up all privileges, install the filters that docker does not, and start a fresh interpreter as another user.

    Returns only if a layer failed, after reporting it to the judge.

    Args:
        user: The user id to become.
        elsewhere: Whether programs get other surroundings.

    Raises:
        LayerError: Never to the caller; a failed layer is reported to the judge instead.
    """
    from plum_hub.execution import filters
    from plum_hub.execution.kernel import LayerError
    from plum_hub.execution.visibility import DEVICES, THREAD_STACK_BYTES, interpreter_environment, limit_stack
    from plum_hub.execution.wire import send

    try:
        if not filters.landlock_version():  # nothing else hides /proc/PID/mem here
            raise LayerError("landlock", "the kernel of the docker host has no Landlock, or docker blocks it")
        _drop_root(user)
        for folder in _SCRATCH:
            if not os.access(folder, os.W_OK):  # some runtimes copy the mode of the image's folder
                raise LayerError("scratch", f"the image's {folder} is not writable by every user (mode 1777)")
        status = os.open("/proc/self/status", os.O_RDONLY)  # a descriptor opened now stays readable
        os.set_inheritable(status, True)
        readable, listable = shown(hidden())
        filters.install_landlock(readable, [*_SCRATCH, *DEVICES], listable)
        filters.install_seccomp()
        limit_stack(THREAD_STACK_BYTES)
        python = os.path.realpath(sys.executable)
        flags = ["-s", "-S", "-P", "-B", "-X", "utf8", "-c", sys.orig_argv[-1], str(status)]
        os.execve(python, [python, *flags], interpreter_environment(elsewhere=elsewhere))
    except (LayerError, OSError, ValueError) as error:
        layer, reason = (error.layer, error.reason) if isinstance(error, LayerError) else ("files", str(error))
        send(_ANSWERS, {"failed": layer, "reason": reason})


def _drop_root(user: int) -> None:
    """Become the user and keep no capability.

    A process that executes a program while its effective group differs from its group is marked non-dumpable by the
    kernel: from then on root owns its files in /proc and those of its children (prctl(2), PR_SET_DUMPABLE). Otherwise a
    program could open the zygote's ends of the pipes to the judge through /proc/1/fd, which Landlock does not prevent.
    """
    from plum_hub.execution import kernel
    from plum_hub.execution.visibility import NOBODY

    kernel.drop_bounding_set()
    os.setgroups([])
    os.setresgid(user, NOBODY, user)
    os.setresuid(user, user, user)
    kernel.drop_capabilities()


def hidden() -> set[Path]:
    """List what programs must not read.

    These are the native modules through which Python code can read its own process's memory, and all installed
    packages, which may contain more of them.

    Returns:
        Resolved paths.
    """
    from plum_hub.execution.visibility import MEMORY_READERS

    library = Path(os.__file__).resolve().parent
    packages = [*Path("/usr/lib").glob("python3*"), *Path("/usr/local/lib").glob("python3*")]
    packages += [library / "site-packages", library / "dist-packages"]
    readers = [path for pattern in MEMORY_READERS for path in (library / "lib-dynload").glob(pattern)]
    return {path.resolve() for path in [*packages, *readers]} - {library}


def shown(hidden: set[Path]) -> tuple[list[str], list[str]]:
    """Split the system folders into those that programs may read and those they may only list.

    Args:
        hidden: What must not be readable (`hidden`).

    Returns:
        Folders and files that may be read, and folders of which only the names may be listed because something hidden
        lies below.
    """
    readable, listable = [], []
    above = {parent for path in hidden for parent in path.parents}
    pending = {Path(top).resolve() for top in (*_READABLE_FOLDERS, sys.base_prefix) if Path(top).is_dir()}
    while pending:
        path = pending.pop()
        if path in above:
            listable.append(str(path))
            pending |= {entry for entry in path.iterdir() if not entry.is_symlink()}
        elif path not in hidden:
            readable.append(str(path))
    return readable, listable


def serve() -> None:
    """Become the zygote, after sending the judge this process's /proc/self/status."""
    from plum_hub.execution import zygote
    from plum_hub.execution.wire import send

    requests, answers = os.dup(_REQUESTS), os.dup(_ANSWERS)
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)
    zygote.prepare()
    status = int(sys.argv[1])
    greeting: dict[str, Any] = {"status": os.read(status, 1 << 16).decode()}
    os.close(status)
    send(answers, {"ready": True, **greeting})
    zygote.serve(requests, answers)


if __name__ == "__main__":
    begin()
