"""The embedded Hub in a process of its own, reused where it already runs."""

import http.client
import json
import select
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from plum_hub.errors import HubError
from plum_hub.home import home
from plum_hub.hubs.server import ACCOUNT, START_SECONDS, AlreadyServedError, announced_endpoint, using
from plum_hub.hubs.store import is_repo_name, organisations, read_token, repo_folder

_LEFT: list["subprocess.Popen[bytes]"] = []
"""Servers that were started here and that others use; they end by themselves."""


def default_root() -> Path:
    """Return the folder of the embedded Hub: `$PLUM_HUB_HOME/hub`, by default `~/.cache/plum-hub/hub`."""
    return home() / "hub"


def namespaces() -> tuple[str, ...]:
    """Return the namespaces in which the owner of the Hub in `default_root` may write."""
    return (ACCOUNT, *organisations(default_root()))


def has_dataset(name: str) -> bool:
    """Tell whether the Hub in `default_root` has a dataset.

    Args:
        name: `account/name`.

    Returns:
        Whether it has.
    """
    return is_repo_name(name) and repo_folder(default_root(), "dataset", name).exists()


class EmbeddedHub:
    """A running embedded Hub, as a context manager.

    A server that already serves the same root is used, and left running. One that is started here ends with the last
    process that uses it, and by itself if these die. Its log is `server.log` in the root.

    Args:
        root: The folder of the Hub; None for `default_root()`.
        port: 0 for any free port.

    Attributes:
        endpoint: Its URL, within the `with` block.
        token: A token with write access, within the `with` block.

    Raises:
        HubError: On entering: the server cannot be started.
    """

    endpoint: str
    token: str

    def __init__(self, root: Path | None = None, port: int = 0) -> None:
        self.root = (root or default_root()).absolute()
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            try:
                stack.enter_context(using(self.root))
            except OSError as error:
                raise _unwritable(self.root, error) from error
            self._reach()
            self._use = stack.pop_all()
        return self

    def _reach(self) -> None:
        """Find the server, or start it."""
        give_up = time.monotonic() + START_SECONDS
        while True:
            if (endpoint := running_endpoint(self.root)) is not None:
                self.endpoint, self.token = endpoint, read_token(self.root) or ""
                return
            try:
                self._start()
            except AlreadyServedError:  # and yet it did not answer: another process is starting it just now
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.05)

    def _start(self) -> None:
        self._stop()
        command = [sys.executable, "-P", "-m", "plum_hub.hubs.server", f"--root={self.root}", f"--port={self._port}"]
        try:
            with (self.root / "server.log").open("ab") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C in this terminal must not stop it under other users
                )
        except OSError as error:
            raise _unwritable(self.root, error) from error
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        said = json.loads(line) if line else {"error": f"the embedded Hub broke; see {self.root / 'server.log'}"}
        if "endpoint" not in said:
            self._stop()
            raise AlreadyServedError(said["served"]) if "served" in said else HubError(said["error"])

    def _stop(self) -> None:
        """Let go of a server that was started here, and wait for its end unless somebody else uses it."""
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()  # the server ends with its stdin
        answered, _, _ = select.select([process.stdout], [], [], 10)
        if answered and process.stdout.read(1):
            _LEFT.append(process)
            return
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._use.close()
        self._stop()


def _unwritable(root: Path, error: OSError) -> HubError:
    return HubError(f"{root}: {error.strerror}; the embedded Hub needs a folder to write to: set PLUM_HUB_HOME")


def running_endpoint(root: Path) -> str | None:
    """Find the running server of a root. It is recognised by accepting the root's own token, without a proxy in
    between.

    Args:
        root: The folder of the Hub.

    Returns:
        The server's URL; None where none answers.
    """
    endpoint = announced_endpoint(root)
    if endpoint is None:
        return None
    address = urlsplit(endpoint)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    with suppress(OSError, http.client.HTTPException):
        try:
            connection.request("GET", "/api/whoami-v2", headers={"Authorization": f"Bearer {read_token(root)}"})
            if connection.getresponse().status == 200:
                return endpoint
        finally:
            connection.close()
    return None
