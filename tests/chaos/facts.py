"""What a build or a training has made, without what may differ between two runs of the same command.

These differ: CPU seconds and memory of programs, and with them the checksums of their rows, the table `samples`, its
digest and its size in the manifest; when a release was published, and so the id of its commit; logs; seconds and memory
of a training.
"""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

_MEASURED = ("cpu_seconds", "peak_memory_mb", "row_crc32")
_TIMES = ("seconds", "memory_gb", "peak_gb")


def facts_of(kind: str, folder: Path) -> dict[str, Any]:
    """State what there is, as JSON values; equal if what was made is equal."""
    try:
        return _build(folder) if kind == "build" else _training(folder / "out")
    except Exception as error:  # noqa: BLE001 - what cannot be stated is not equal, and the report says why
        return {"nothing": f"{type(error).__name__}: {error}"}


def _build(folder: Path) -> dict[str, Any]:
    run = folder / "run"
    release = run / "release" / "dataset"
    manifest = json.loads((release / "manifest.json").read_bytes())
    manifest["content"].pop("samples")
    manifest["files"] = [file for file in manifest["files"] if not file["path"].startswith("samples/")]
    records = [json.loads(line) for line in (run / "releases.jsonl").read_text().splitlines()]
    return {
        "manifest": manifest,
        "files": {
            path.relative_to(release).as_posix(): _sha256(path)
            for path in sorted(release.rglob("*"))
            if path.is_file() and path.name != "manifest.json" and path.parent.name != "samples"
        },
        "samples": _samples(release),
        "rows": {path.stem: _rows(run, path.name, folder) for path in sorted(run.glob("shards/*/*.jsonl"))},
        "run": sorted(
            path.relative_to(run).as_posix()
            for path in run.rglob("*")
            if path.is_file() and path.parent.name != "logs" and not path.name.endswith(".lock")
        ),
        "published": [(record["repo"], record["tag"]) for record in records],
        "hub": _hub(folder / "home" / "hub", records),
        "matches": _matches(folder, release, records),
    }


def _samples(release: Path) -> str:
    from pyarrow import parquet

    table = parquet.read_table(next((release / "samples").glob("*.parquet")))
    rows = table.drop_columns([name for name in _MEASURED if name in table.column_names]).to_pylist()
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def rows_of(folder: Path) -> dict[str, str]:
    """State the rows of a build and of its release, in whatever order they are."""
    from pyarrow import parquet

    run = folder / "run"
    released: dict[str, list[str]] = {}
    for path in sorted(run.glob("release/dataset/*/*.parquet")):
        for row in parquet.read_table(path).to_pylist():
            kept = {key: row[key] for key in row if key not in _MEASURED}
            released.setdefault(path.parent.name, []).append(json.dumps(kept, default=str))
    return {
        **{f"run, {path.stem}": _rows(run, path.name, folder) for path in run.glob("shards/*/*.jsonl")},
        **{name: hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest() for name, rows in released.items()},
    }


def _rows(run: Path, name: str, folder: Path) -> str:
    found = []
    for path in run.glob(f"shards/*/{name}"):
        for line in path.read_text().splitlines():
            row = json.loads(line.replace(str(folder), "FOLDER"))
            found.append(json.dumps({key: row[key] for key in row if key not in _MEASURED}, sort_keys=True))
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()


def _git(repository: Path, *arguments: str) -> str:
    command = ["git", "-c", "safe.directory=*", "--git-dir", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _hub(root: Path, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Branches, tags, and the number of commits of each."""
    repository = root / "repos" / "datasets" / f"{records[0]['repo']}.git"
    names = _git(repository, "for-each-ref", "--format=%(refname)").split()
    commits = {name: int(_git(repository, "rev-list", "--count", name)) for name in names}
    scratch = sorted(path.name for path in (root / "scratch").iterdir())
    return {"commits": commits, "scratch": scratch, "repositories": len([*root.glob("repos/*/*/*.git")])}


def _matches(folder: Path, release: Path, records: list[dict[str, Any]]) -> bool:
    """Whether the tagged commit holds exactly the files of the release."""
    root = folder / "home" / "hub"
    repository = root / "repos" / "datasets" / f"{records[0]['repo']}.git"
    for path in release.rglob("*"):
        if path.is_file():
            there = _git(repository, "show", f"{records[0]['tag']}:{path.relative_to(release).as_posix()}")
            if there.startswith("version https://git-lfs"):
                digest = there.split("sha256:")[1][:64]
                if not (root / "lfs" / digest[:2] / digest[2:4] / digest).exists():
                    return False
            else:
                digest = hashlib.sha256(there.encode()).hexdigest()
            if digest != _sha256(path):
                return False
    return bool(_git(repository, "rev-parse", f"{records[0]['tag']}^{{commit}}").strip() == records[0]["commit"])


def _training(out: Path) -> dict[str, Any]:
    record = json.loads((out / "training.json").read_bytes())
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {
        "record": {key: value for key, value in record.items() if key not in _TIMES},
        "metrics": [{key: row[key] for key in row if "second" not in key and "runtime" not in key} for row in metrics],
        "files": {
            path.relative_to(out).as_posix(): _sha256(path)
            for path in sorted(out.rglob("*"))
            if path.is_file() and path.name not in ("training.json", "metrics.jsonl", ".lock")
        },
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(found: Any, wanted: Any, name: str = "") -> list[str]:
    """Every place in which two facts differ, with both values, cut."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return [
            text
            for key in sorted({*found, *wanted})
            for text in differences(found.get(key), wanted.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if found == wanted else [f"{name}: {str(found)[:200]} instead of {str(wanted)[:200]}"]
