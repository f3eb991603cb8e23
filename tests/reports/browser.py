"""Headless Chromium, driven over its DevTools pipe: no driver program, no library, no port."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from base64 import b64decode
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_KEYS = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "End": 35, "Home": 36, "Tab": 9}
# The pipe is read from descriptor 3 and written to descriptor 4.
_START = (
    "import os, sys; r, w = (os.dup(int(fd)) for fd in sys.argv[1:3]); r, w = (os.dup2(fd, 20 + n) for n, fd in "
    "enumerate((r, w))); os.dup2(r, 3); os.dup2(w, 4); os.execv(sys.argv[3], sys.argv[3:])"
)


class Browser:
    """One tab of a browser with a profile of its own.

    Args:
        profile: A folder for the profile.
        wait: Longest time for an answer, in seconds.
    """

    def __init__(self, profile: Path, wait: float = 60) -> None:
        assert CHROMIUM is not None
        self.errors: list[str] = []
        """Errors of the console, exceptions and refused requests."""
        self.requests: list[str] = []
        """Addresses that were asked for."""
        self._number, self._wait, self._session = 0, wait, ""
        theirs, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        options = [
            "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--mute-audio",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
            "--disable-dev-shm-usage", f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else []),
        ]  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, str(theirs), str(theirs_out), CHROMIUM, *options, "about:blank"],
            pass_fds=(theirs, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        os.close(theirs_out)
        self._buffer = b""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._out)
        os.close(self._in)
        try:
            self._process.wait(timeout=5)  # it ends with its pipe
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def open(self, url: str) -> None:
        """Load a page, and wait until its script is ready."""
        self.errors.clear()
        self.requests.clear()
        self._call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && document.documentElement.dataset.ready === 'yes'")

    def evaluate(self, code: str) -> Any:
        """Return the value of an expression, a promise's once it is there."""
        answer = self._call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, code: str) -> None:
        """Wait until an expression holds."""
        end = time.monotonic() + self._wait
        while not self.evaluate(f"Boolean({code})"):
            assert time.monotonic() < end, f"never: {code}"
            time.sleep(0.02)

    def key(self, name: str) -> None:
        """Press a key."""
        text = {"text": name} if len(name) == 1 else {"text": "\r"} if name == "Enter" else {}
        code = {"windowsVirtualKeyCode": _KEYS[name]} if name in _KEYS else {}
        self._call("Input.dispatchKeyEvent", type="keyDown", key=name, **text, **code)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=name, **code)

    def type(self, text: str) -> None:
        """Type text into what has the focus."""
        self._call("Input.insertText", text=text)

    def screen(self, width: int, height: int, *, phone: bool = False) -> None:
        """Set the size of the screen."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )

    def scheme(self, name: str) -> None:
        """Set what `prefers-color-scheme` says: `dark` or `light`."""
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def shot(self, path: Path, *, full: bool = False) -> None:
        """Save what the screen shows, or the whole page, as PNG."""
        picture = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        path.write_bytes(b64decode(picture["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != self._number:
            self._noted(answer)
        assert "error" not in answer, (method, answer["error"])
        return dict(answer["result"])

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._in], [], [], self._wait)[0], "the browser does not answer"
            piece = os.read(self._in, 1 << 16)
            assert piece, "the browser ended"
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        return found

    def _noted(self, event: dict[str, Any]) -> None:
        about = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(str(about["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "warning"):
                self.errors.append(str(about["args"]))
            case "Log.entryAdded" if about["entry"]["level"] in ("error", "warning"):
                self.errors.append(about["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])
