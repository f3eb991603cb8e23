"""The embedded Hub's process: `python -m plum_hub.hubs.server --root DIR`, or `serve` within the current process.

One server per root: it holds a lock on `server.lock` while it lives, and announces its address in `server.json`. Both
survive a kill without harm: the lock is released with its process, and `server.json` is believed only if it answers.

A server that a command started is used by other commands too. Each holds a shared lock on `server.users`; the server
ends when the command that started it has, and it gets that lock for itself alone.
"""

import argparse
import ctypes
import errno
import fcntl
import ipaddress
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from plum_hub.errors import HubError
from plum_hub.hubs.limits import ServerLimits

ACCOUNT = "local"
"""The one namespace of an embedded Hub."""
DEFAULT_PORT = 8077
START_SECONDS = 30
"""Seconds that a server has to answer, or to end, before it counts as broken."""
_USERS = "server.users"


class AlreadyServedError(HubError):
    """Another process serves this root, or is about to."""


def serve(
    root: Path,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    limits: ServerLimits = ServerLimits(),  # noqa: B008 - frozen
    ready: Callable[[str], object] = str,
    stop_with: int | None = None,
) -> None:
    """Serve the Hub in `root` until SIGTERM or Ctrl-C.

    Args:
        root: Its folder; created where it is missing.
        host: The address to bind. Any other than loopback lets other machines read public repositories.
        port: 0 for any free port.
        limits: Sizes and quotas.
        ready: Called with the endpoint as soon as requests are accepted.
        stop_with: A file descriptor whose end of file also stops the server, once nobody else uses it.

    Raises:
        AlreadyServedError: Another process serves this root.
        HubError: The root is not writable, the port is taken, or git is missing.
    """
    import uvicorn

    if shutil.which("git") is None:
        raise HubError("the embedded Hub keeps its repositories with git, which is not installed; install git")
    from plum_hub.hubs.app import App
    from plum_hub.hubs.calls import Hub
    from plum_hub.hubs.store import Store

    with _owning(root), _listening(host, port) as listener:
        store = Store(root, ACCOUNT)
        store.empty_scratch()
        hub = Hub(store, limits)
        config = uvicorn.Config(
            App(hub), lifespan="off", ws="none", log_level="error", access_log=False, timeout_graceful_shutdown=5
        )
        server = uvicorn.Server(config)
        if stop_with is not None:
            threading.Thread(target=_stop_after_the_last_user, args=(stop_with, root, server), daemon=True).start()
        endpoint = _endpoint(listener)
        with _announced(root, endpoint, passing=stop_with is not None), suppress(KeyboardInterrupt):
            ready(endpoint)
            server.run(sockets=[listener])


def make_root(root: Path) -> None:
    """Make the folder of a Hub, for its owner only: it holds private repositories. One that exists stays as it is.

    Args:
        root: The folder.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    root.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def _owning(root: Path) -> Iterator[None]:
    try:
        make_root(root)
        lock = (root / "server.lock").open("a")
    except OSError as error:
        raise HubError(
            f"{root}: {error.strerror}; the embedded Hub needs a folder to write to: set PLUM_HUB_HOME"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyServedError(_already_served(root)) from None
        yield


def _already_served(root: Path) -> str:
    """Return who serves a root: a server that stays, or one that ends with the commands that use it."""
    said = _announcement(root)
    where = said.get("endpoint") or "an address that it has not told yet"
    if said.get("passing", True):
        return (
            f"{root} is already served at {where}, but only until the commands that use it have ended; run this again "
            "then, or name another --root"
        )
    return f"{root} is already served at {where}; use that server, or name another --root"


@contextmanager
def using(root: Path) -> Iterator[None]:
    """Keep a server of a root from ending, for the `with` block. One that is just ending has ended before the block.

    Args:
        root: The folder of the Hub.

    Yields:
        Nothing.

    Raises:
        OSError: The folder cannot be written.
        HubError: A server that is ending does not end.
    """
    make_root(root)
    with (root / _USERS).open("a") as users:
        give_up = time.monotonic() + START_SECONDS
        while True:
            try:
                fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    pid = _announcement(root).get("pid", "unknown")
                    raise HubError(
                        f"{root}: its server, process {pid}, does not end; stop it, and run this again"
                    ) from None
                time.sleep(0.05)
        yield


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise HubError(
                f"port {port} of {host} is taken; choose another with --port, or 0 for any free one"
            ) from error
        raise HubError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --host or --port") from error
    with listener:
        yield listener


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a server on a host.

    Args:
        host: Name or address.

    Returns:
        True for loopback addresses.
    """
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _endpoint(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _announced(root: Path, endpoint: str, *, passing: bool) -> Iterator[None]:
    from plum_hub.hubs.objects import write_whole

    place = root / "server.json"
    write_whole(place, json.dumps({"endpoint": endpoint, "pid": os.getpid(), "passing": passing}).encode())
    try:
        yield
    finally:
        place.unlink(missing_ok=True)


def announced_endpoint(root: Path) -> str | None:
    """Return the address that the last server of a root announced; it may have ended.

    Args:
        root: The folder of the Hub.

    Returns:
        Its URL; None where none was announced.
    """
    return _announcement(root).get("endpoint")


def _announcement(root: Path) -> dict[str, Any]:
    """Return what the last server of a root announced; nothing where there was none."""
    try:
        found: dict[str, Any] = json.loads((root / "server.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found


def _stop_after_the_last_user(descriptor: int, root: Path, server: Any) -> None:
    """Stop a server when a file has ended and nobody else uses the server, and keep new users waiting until then."""
    while os.read(descriptor, 1):
        pass
    users = os.open(root / _USERS, os.O_RDWR | os.O_CREAT, 0o600)  # locked until this process has ended
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with suppress(BrokenPipeError):
            os.write(1, b"\n")  # whoever started it need not wait
        fcntl.flock(users, fcntl.LOCK_EX)
    server.should_exit = True


def main() -> int:
    """Serve, and print one JSON line with the address, or the reason why not. The server ends with its stdin.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m plum_hub.hubs.server")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--part-size", type=int, default=ServerLimits.part_size)
    parser.add_argument("--requests", type=int)
    options = vars(parser.parse_args())
    # One that somebody stopped (SIGSTOP) wakes when its parent dies, and ends: the next server waits for its lock.
    ctypes.CDLL(None).prctl(1, signal.SIGCONT)  # 1: PR_SET_PDEATHSIG
    limits = ServerLimits(part_size=options.pop("part_size"), requests=options.pop("requests"))

    def say(key: str, value: str) -> None:
        sys.stdout.write(json.dumps({key: value}) + "\n")
        sys.stdout.flush()

    try:
        serve(**options, limits=limits, ready=lambda endpoint: say("endpoint", endpoint), stop_with=sys.stdin.fileno())
    except HubError as error:
        say("served" if isinstance(error, AlreadyServedError) else "error", str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
