"""The Batch API of the loopback server: files and batches on disk, so that they outlive the server.

`fates` says what becomes of the next batches, one entry each: `expire` after half of the requests, `cancel` likewise,
`lose` the last line of its answers, `cut` it, `fail` in validation, `too_much` for an account with too many tokens
waiting, or None.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Reply = tuple[int, Any]
_NOT_FOUND: Reply = (404, {"error": {"message": "no such object"}})
_FAILURES = {
    "fail": {"code": "invalid_json_line", "message": "line 3 is not valid", "line": 3},
    "too_much": {"code": "token_limit_exceeded", "message": "Enqueued token limit reached"},
}


class BatchStore:
    """Batches that are carried out when they are looked at for the `looks`th time."""

    def __init__(self, folder: Path, answer: Callable[[str, dict[str, Any]], Reply]) -> None:
        self.folder, self._answer = folder, answer
        self.fates: deque[str | None] = deque()
        self.looks = 2
        self.most = 50_000
        """Requests that may wait at once; a batch above that is `too_much`."""
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def upload(self, data: bytes) -> Reply:
        with self._lock:
            name = self._add_file(data)
        return 200, {"id": name, "object": "file", "bytes": len(data), "created_at": 1, "purpose": "batch"}

    def create(self, body: dict[str, Any]) -> Reply:
        with self._lock:
            if not (self.folder / body["input_file_id"]).exists():
                return _NOT_FOUND
            assert body["completion_window"] == "24h"
            lines = self._lines(body["input_file_id"])
            assert len({line["custom_id"] for line in lines}) == len(lines)
            assert {line["url"] for line in lines} == {body["endpoint"]}
            fate = self.fates.popleft() if self.fates else None
            open_ = [one for one in self.all() if one["status"] in ("validating", "in_progress")]
            waiting = len(lines) + sum(one["request_counts"]["total"] for one in open_ if one["fate"] != "too_much")
            batch = {
                "id": f"batch_{len(self.all()):04}", "object": "batch", "created_at": len(self.all()),
                "status": "validating", "fate": "too_much" if waiting > self.most else fate, "looks": 0,
                "request_counts": {"total": len(lines), "completed": 0, "failed": 0}, **body,
            }  # fmt: skip
            self._save(batch)
            return 200, batch

    def get(self, path: str) -> Reply:
        with self._lock:
            parts = path.partition("?")[0].split("/")[2:]
            if parts == ["batches"]:
                return 200, {"object": "list", "data": self.all()[::-1], "has_more": False}
            if parts[0] == "batches":
                return self._looked_at(parts[1])
            file = self.folder / parts[1]
            return (200, file.read_bytes()) if file.exists() else _NOT_FOUND

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(file.read_text()) for file in sorted(self.folder.glob("batch_*"))]

    def _looked_at(self, name: str) -> Reply:
        file = self.folder / name
        if not file.exists():
            return _NOT_FOUND
        batch = json.loads(file.read_text())
        batch["looks"] += 1
        if batch["status"] in ("validating", "in_progress"):
            batch["status"] = "in_progress"
            if batch["looks"] >= self.looks:
                self._carry_out(batch)
        self._save(batch)
        return 200, batch

    def _carry_out(self, batch: dict[str, Any]) -> None:
        fate = batch["fate"]
        if fate in _FAILURES:
            batch["status"], batch["errors"] = "failed", {"object": "list", "data": [_FAILURES[fate]]}
            return
        lines = self._lines(batch["input_file_id"])
        done = lines[: len(lines) // 2] if fate in ("expire", "cancel") else lines
        good, bad = [], []
        for line in done:
            status, body = self._answer(line["url"], line["body"])
            row = {"id": "r", "custom_id": line["custom_id"], "response": {"status_code": status, "body": body}}
            (good if status == 200 else bad).append({**row, "error": None})
        code = {"expire": "batch_expired", "cancel": "batch_cancelled"}.get(fate or "", "")
        for line in lines[len(done) :]:
            error = {"code": code, "message": "not carried out in time"}
            bad.append({"id": "r", "custom_id": line["custom_id"], "response": None, "error": error})
        batch["status"] = {"expire": "expired", "cancel": "cancelled"}.get(fate or "", "completed")
        batch["request_counts"] |= {"completed": len(good), "failed": len(bad)}
        for key, rows in (("output_file_id", good[::-1]), ("error_file_id", bad)):  # in no order that was promised
            if rows:
                data = "".join(json.dumps(row) + "\n" for row in rows[:-1] if rows)
                last = json.dumps(rows[-1]) + "\n"
                data += {"lose": "", "cut": last[: len(last) // 2]}.get(fate or "", last)
                batch[key] = self._add_file(data.encode())

    def _lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_bytes().splitlines()]

    def _add_file(self, data: bytes) -> str:
        name = f"file-{len(list(self.folder.glob('file-*'))):04}"
        (self.folder / name).write_bytes(data)
        return name

    def _save(self, batch: Mapping[str, Any]) -> None:
        (self.folder / str(batch["id"])).write_text(json.dumps(batch))
