"""The actor on a node of the cluster. It keeps a copy of one shard, and a worker process that works on it.

The work is in a process of its own, since sandboxes fork, and Ray's process has threads that do not survive that.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from plum_hub.environment import installed_versions
from plum_hub.pipeline.workers import own_cores
from plum_hub.redaction import redacted

RUN, DONOR = "run", "donor"
"""The folders of the copies: of the run, and of the run that rows are carried over from."""
BATCH_BYTES = 4 << 20
"""Bytes of messages that travel together, and of a shard. A longer row travels alone."""
_GATHER_SECONDS = 0.05
"""How long messages are gathered."""
_WAIT_SECONDS = 1.0
"""How long a call waits for the first message, so that the actor can be told to end."""
_STOP_SECONDS = 5.0
_CHILD = "from plum_hub.pipeline.worker import main; main()"
_ENDS = (b'{"event": "ready"', b'{"event": "done"', b'{"event": "failed"', b'{"event": "asked"')
"""How a message begins after which the worker says nothing before it is told something."""


class NodeWorker:
    """The actor: it passes messages between the build and its worker process, and keeps none."""

    def __init__(self) -> None:
        self._scratch = Path(tempfile.mkdtemp(prefix="plum-hub-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection[Any, Any] | None = None

    def identity(self) -> dict[str, str]:
        """Return the versions of Python and plum-hub here, and the name of the machine."""
        versions = installed_versions()
        return {"python": versions["python"], "plum-hub": versions["plum-hub"], "host": socket.gethostname()}

    def begin(self, given: dict[str, Any]) -> None:
        """Start the worker process.

        Args:
            given: What it works on: `run` and `donor` (the files of a recipe, or None), the spending `limit`, the
                `share` of the cores, the `gpus` that it may use (None: as Ray has set), whether it `judges`, and the
                `cwd` that relative paths of the recipe belong to.
        """
        folders = {}
        for place in (RUN, DONOR):
            folders[place] = None if given[place] is None else str(self._scratch / RUN / place)
            for name, content in (given[place] or {}).items():
                path = self._scratch / RUN / place / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        ours, theirs = connection.Pipe()
        self._pipe = ours
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(theirs.fileno())], pass_fds=(theirs.fileno(),), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(self._scratch / "stderr").open("wb"),
            env=_environment(given["gpus"]), cwd=given["cwd"] if Path(given["cwd"]).is_dir() else self._scratch,
        )  # fmt: skip
        theirs.close()
        self.deal(json.dumps({
            "run": folders[RUN], "donor": folders[DONOR], "benchmark_data": None, "limit": given["limit"],
            "cores": own_cores(*given["share"]), "relay": True, "judges": given["judges"],
        }).encode())  # fmt: skip

    def clear(self) -> None:
        """Remove the shards that are here."""
        for place in (RUN, DONOR):
            shutil.rmtree(self._scratch / RUN / place / "shards", ignore_errors=True)

    def put(self, place: str, shard: str, name: str, data: bytes) -> None:
        """Append to the copy of a file.

        Args:
            place: Which run it belongs to.
            shard: Name of the shard.
            name: Name of the file.
            data: The next piece of it.
        """
        folder = self._scratch / RUN / place / "shards" / shard
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("ab") as file:
            file.write(data)

    def deal(self, message: bytes) -> None:
        """Tell the worker something.

        Args:
            message: A JSON object: a task, or the answer to a question.
        """
        assert self._pipe is not None
        with suppress(OSError):  # it has died, which the next call of `events` says
            self._pipe.send_bytes(message)

    def events(self) -> list[bytes]:
        """Wait for messages of the worker.

        Returns:
            Messages in order, some megabytes at most; none if there was none for a second. If the worker has died, the
            last is `died`.
        """
        assert self._pipe is not None
        found: list[bytes] = []
        size, until = 0, 0.0
        while size < BATCH_BYTES:
            if not self._pipe.poll(max(0.0, until - time.monotonic()) if found else _WAIT_SECONDS):
                break
            try:
                message = self._pipe.recv_bytes()
            except (EOFError, OSError):
                found.append(json.dumps({"event": "died", "how": self._how()}).encode())
                break
            until = until or time.monotonic() + _GATHER_SECONDS
            found.append(message)
            size += len(message)
            if message.startswith(_ENDS):
                break
        return found

    def end(self) -> None:
        """End the worker process, and remove the copies."""
        if self._process is not None and self._pipe is not None:
            self._pipe.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _how(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        lines = (self._scratch / "stderr").read_text(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return redacted(f"{how} ({last[:500]})" if last else how)


def _environment(gpus: str | None) -> dict[str, str]:
    """Return the environment of a worker: the node's own, with its keys, without what Ray has set for the actor."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("RAY_") and name != "OMP_NUM_THREADS"
    }
    return kept if gpus is None else kept | {"CUDA_VISIBLE_DEVICES": gpus}
