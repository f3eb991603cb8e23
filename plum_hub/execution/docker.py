"""The sandbox for machines without user namespaces (macOS, locked-down hosts): one zygote in each docker container."""

import functools
import json
import os
import secrets
import socket
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plum_hub.errors import SandboxError
from plum_hub.execution.jail import JailSandbox
from plum_hub.execution.wire import pack
from plum_hub.execution.worker import NO_CAPABILITY, SCRATCH_MB, user_of

_HARNESS = "7"
"""Increased by hand whenever a verdict could change."""

_DEFAULT_IMAGE = "python:3.11-slim"
_LABEL = "plum-hub.sandbox"
_PRINT_INTERPRETER = "import sys; print(sys.implementation.name, '.'.join(map(str, sys.version_info[:3])), sep='-')"
_MIN_MINOR_VERSION = 11
_FIRST_USER, _USERS = 10_000, 50_000
_CAPABILITIES = ["CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID"]
"""With these a container's first process becomes another user and drops the rest, before it receives any program."""
_PROCESSES = 128
_ANSWER_SECONDS, _END_SECONDS = 60, 20
_HINT = "`--set verdicts.sandbox=auto` (`plum-hub judge --sandbox auto`) uses another sandbox where one is available"


@dataclass(frozen=True)
class _Image:
    """The image that containers run, and the memory of one container: half of the docker host's."""

    id: str
    memory_bytes: int
    interpreter: str = ""


class DockerSandbox(JailSandbox):
    """Runs programs in one container for each worker, scheduled as jails are.

    The image is `$PLUM_HUB_DOCKER_IMAGE`, by default `python:3.11-slim`; any with CPython 3.11 or newer works.

    Args:
        workers: Number of containers; None for one for each core that affinity and quota leave this process.
        elsewhere: Whether programs get other surroundings.
    """

    def __init__(self, workers: int | None = None, *, elsewhere: bool = False) -> None:
        super().__init__(workers, self._start_container)
        self._elsewhere = elsewhere

    @property
    def harness_version(self) -> str:
        """See `Sandbox`."""
        return f"docker-{_HARNESS}-{self._image.interpreter}"

    @functools.cached_property
    def _image(self) -> _Image:
        name = os.environ.get("PLUM_HUB_DOCKER_IMAGE") or _DEFAULT_IMAGE
        system, memory = _docker("info", "--format", "{{.OSType}} {{.MemTotal}}").split()
        if system != "linux":
            raise SandboxError(f"docker runs {system} containers here, but programs need Linux containers; {_HINT}")
        try:
            image_id = _docker("image", "inspect", "--format", "{{.Id}}", name)
        except SandboxError as error:
            raise SandboxError(f"docker has no image {name}; get it with `docker pull {name}`") from error
        image = _Image(image_id, int(memory) // 2)
        options = [*_options(image), "--entrypoint", "python", image.id]
        interpreter = _docker("run", "--rm", *options, "-I", "-S", "-c", _PRINT_INTERPRETER)
        if not interpreter.startswith("cpython-3.") or int(interpreter.split(".")[1]) < _MIN_MINOR_VERSION:
            raise SandboxError(
                f"the image {name} has {interpreter}, but programs need CPython 3.{_MIN_MINOR_VERSION} or newer; "
                f"set PLUM_HUB_DOCKER_IMAGE={_DEFAULT_IMAGE}"
            )
        return replace(image, interpreter=interpreter)

    def _start_container(self, theirs: socket.socket, _core: int | None) -> "Container":
        return Container(self._image, theirs, elsewhere=self._elsewhere)


class Container:
    """A zygote in a docker container (`container.py`). Nothing is mounted into it; its code is sent over stdin."""

    name = "container"
    hint = _HINT
    startup_keys = frozenset({"ready", "status"})
    bounding_set = NO_CAPABILITY

    def __init__(self, image: _Image, theirs: socket.socket, *, elsewhere: bool = False) -> None:
        self.probe_targets: dict[str, Any] = {}
        self._image = image
        self._id = f"plum-hub-{secrets.token_hex(8)}"
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115  closed by `end`
        sources = _sources()
        command = ["docker", "run", "--rm", "--interactive", "--name", self._id, *_options(image)]
        command += ["--entrypoint", "python", image.id, "-I", "-S", "-B", "-c", sources[f"{__package__}.container"]]
        try:
            self._client = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=self._messages, start_new_session=True
            )
        except OSError as error:
            raise SandboxError(f"docker could not be started ({error}); {_HINT}") from error
        # A user id of its own, because the kernel counts a user's processes across all containers.
        user = _FIRST_USER + secrets.randbelow(_USERS)
        message: dict[str, Any] = {"sources": sources, "module": f"{__package__}.container"}
        self.startup_messages = b"".join(
            pack({**message, "step": step}) for step in (["shut", user, elsewhere], ["serve"])
        )

    def verify(self, greeting: dict[str, Any]) -> str:
        """Check the container: the docker daemon reports its settings, the kernel the zygote's status.

        The status is read inside the container, where no program has run yet.

        Args:
            greeting: What the zygote sent; `status` is its /proc/self/status.

        Returns:
            The zygote's /proc/PID/status.

        Raises:
            SandboxError: A setting is not as required, or the zygote runs as root.
        """
        (facts,) = json.loads(_docker("inspect", "--type", "container", self._id))
        for path, expected in _required_settings(self._image).items():
            actual = functools.reduce(lambda under, key: under[key], path.split("."), facts)
            if (actual or None) != (expected or None):
                raise SandboxError(
                    f"docker reports that the container's {path} is {actual!r}, not {expected!r}; {_HINT}"
                )
        if "0" in user_of(str(greeting["status"])):
            raise SandboxError(f"a container runs as root (user); {_HINT}")
        return str(greeting["status"])

    def allow(self, memory_bytes: int) -> None:
        """Do nothing: a container keeps the limit that it was started with.

        Args:
            memory_bytes: Ignored.
        """

    def memory_kills(self) -> int:
        """Return 0: the docker daemon does not count them."""
        return 0

    def exit_reason(self) -> str:
        """Return what the docker client printed, in parentheses; empty if nothing."""
        self._messages.seek(0)
        text = " ".join(self._messages.read(2000).decode(errors="replace").split())
        return f" ({text})" if text else ""

    def close(self) -> None:
        """Wait for the container to end, and remove it by name if it does not end in time.

        The zygote ends when its stdin does, and docker then removes the container (`--rm`).
        """
        try:
            clean = self._client.wait(_END_SECONDS) == 0
        except subprocess.TimeoutExpired:
            clean = False
        if not clean:
            subprocess.run(["docker", "rm", "--force", self._id], capture_output=True, check=False)
            self._client.kill()
            self._client.wait()
        self._messages.close()


def _options(image: _Image) -> list[str]:
    """Return the options of `docker run` that isolate a container."""
    memory = str(image.memory_bytes)
    return [
        "--pull", "never", "--label", _LABEL, "--log-driver", "none", "--no-healthcheck", "--network", "none",
        "--read-only", "--cap-drop", "ALL", *[f"--cap-add={name}" for name in _CAPABILITIES],
        "--security-opt", "no-new-privileges", "--user", "0:0",
        "--ipc", "private", "--shm-size", f"{SCRATCH_MB}m", "--hostname", "jail", "--workdir", "/tmp",
        "--tmpfs", f"/tmp:{_scratch()}",
        "--pids-limit", str(_PROCESSES), "--memory", memory, "--memory-swap", memory,
        "--oom-score-adj", "1000", "--ulimit", "core=0",
    ]  # fmt: skip


def _scratch() -> str:
    return f"rw,nosuid,nodev,noexec,mode=1777,size={SCRATCH_MB}m,nr_inodes=4k"


def _required_settings(image: _Image) -> dict[str, object]:
    """Return what `docker inspect` must report of a container, by path."""
    host = {
        "Privileged": False, "NetworkMode": "none", "ReadonlyRootfs": True, "CapAdd": _CAPABILITIES, "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"], "PidMode": "", "IpcMode": "private", "UTSMode": "", "Binds": None,
        "Tmpfs": {"/tmp": _scratch()}, "ShmSize": SCRATCH_MB << 20, "Devices": None, "PidsLimit": _PROCESSES,
        "Memory": image.memory_bytes,
    }  # fmt: skip
    return {
        "State.Running": True, "Image": image.id, "Config.User": "0:0", "Mounts": None,
        **{f"HostConfig.{name}": expected for name, expected in host.items()},
    }  # fmt: skip


def _sources() -> dict[str, str]:
    """Return the source of every module of this package by name, with empty parent packages."""
    files = Path(__file__).parent.glob("*.py")
    return {
        "plum_hub": "",
        __package__: "",
        **{f"{__package__}.{file.stem}": file.read_text("utf-8") for file in files},
    }


def _docker(*arguments: str) -> str:
    """Run a docker command and return what it printed.

    Raises:
        SandboxError: docker is not installed, its daemon does not answer, or the command failed.
    """
    try:
        done = subprocess.run(
            ["docker", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_ANSWER_SECONDS, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise SandboxError(f"docker is not installed (no `docker` on PATH); {_HINT}") from error
    except subprocess.TimeoutExpired as error:
        raise SandboxError(f"docker {arguments[0]} did not answer within {_ANSWER_SECONDS} s; {_HINT}") from error
    if done.returncode != 0:
        raise SandboxError(f"docker {arguments[0]}: {' '.join(done.stderr.split())}; {_HINT}")
    return done.stdout.strip()
