"""Publishing by `plum-hub push-dataset` beside a bare script, in one run: same rows, same Parquet, same Hub.

Both begin with the files of a complete run (a million samples of the scripted engine; making it is not counted, and it
is kept under plum-hub's home folder) and end with a commit on an embedded Hub of their own, in fresh processes and
with the files in the page cache. The bare side reads the JSON lines with the standard library, writes Parquet of the
same columns, rows, row groups and compression with pyarrow, and uploads it by one `create_commit`. Ours also
checks every row, joins verdicts to samples wherever they lie, brings the KTO rows into their order, counts, writes
card and manifest, takes every sha256, reads the commit back, and tags it. Keys:

- time_vs_bare: our seconds, from the command's start to its end with its Hub's, by those of the bare script;
- peak_gb: the most memory of all our processes together, the Hub's among them (resident set, 10^9 bytes).

    scripts/bench release [--rows 1000000] [--clean]
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

from releasing import rows

REPO = "release-bench"


class Watch:
    """Watches a process and all below it: memory, and when files appear."""

    def __init__(self, root: int, marks: dict[str, Path]) -> None:
        self.peak = 0
        self.seen: dict[str, float] = {}
        self._root, self._marks = root, marks
        self._start = time.perf_counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def end(self) -> float:
        """Stop watching; return seconds since the start."""
        seconds = time.perf_counter() - self._start
        self._over.set()
        self._thread.join()
        return seconds

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.peak = max(self.peak, _resident(self._root))
            for name, path in self._marks.items():
                if name not in self.seen and path.exists():
                    self.seen[name] = time.perf_counter() - self._start


def _resident(root: int) -> int:
    """Return the resident bytes of a process and its descendants."""
    parents, resident = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            resident[int(folder.name)] = int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        except OSError:
            continue  # has ended
    family = {root}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(resident.get(process, 0) for process in family)


def ours(run: Path, scratch: Path) -> dict[str, Any]:
    """Run the command, as a user types it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    environment |= {"PLUM_HUB_HOME": str(scratch / "home"), "HF_HOME": str(scratch / "hf")}
    command = [sys.executable, "-m", "plum_hub", "push-dataset", str(run), "--hub", "embedded", "--repo", REPO]
    marks = {"read": run / "release" / "dataset.partial", "tree": run / "release" / "dataset"}
    process = subprocess.Popen([*command, "--json", "--quiet"], env=environment, stdout=subprocess.PIPE)
    watch = Watch(process.pid, marks)
    said, _ = process.communicate()
    seconds = watch.end()
    if process.returncode:
        sys.exit(f"push-dataset ended with exit code {process.returncode}")
    released = json.loads(said)
    tree = run / "release" / "dataset"
    written = [file for path in tree.rglob("*.parquet") for file in [path.stat().st_size]]
    read, made = watch.seen["read"], watch.seen["tree"]
    return {
        "seconds": seconds, "read": read, "write": made - read, "publish": seconds - made, "bytes": sum(written),
        "peak_gb": watch.peak / 1e9, "release": f"{released['repo']}@{released['tag']}",
    }  # fmt: skip


def bare(run: Path, scratch: Path) -> dict[str, Any]:
    """Run the script against a Hub that already runs."""
    from plum_hub.hubs.embedded import EmbeddedHub

    (scratch / "tree").mkdir()
    with EmbeddedHub(scratch / "hub") as hub:
        environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": hub.token, "HF_HOME": str(scratch / "hf")}
        environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1"}
        script = Path(__file__).parent / "releasing" / "bare.py"
        command = [sys.executable, str(script), str(run), str(scratch / "tree"), f"local/{REPO}"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        watch = Watch(process.pid, {})
        said, _ = process.communicate()
        seconds = watch.end()
    if process.returncode:
        sys.exit(f"the bare script ended with exit code {process.returncode}")
    return {"seconds": seconds, "peak_gb": watch.peak / 1e9} | json.loads(said)


def side_of(side: Callable[[Path, Path], dict[str, Any]], folder: Path, run: Path) -> dict[str, Any]:
    """Run one side in a folder of its own, removed afterwards so that the disk need not hold both; add its CPU time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        found = side(run, Path(scratch))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found | {"cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def main() -> None:
    """Run both sides; the last line is JSON."""
    from plum_hub.home import home

    parser = argparse.ArgumentParser(prog="scripts/bench release", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="samples of the run")
    parser.add_argument("--clean", action="store_true", help="remove the runs that were made for this, and end")
    options = parser.parse_args()
    folder = home() / "benchmarks" / "release"
    if options.clean:
        shutil.rmtree(folder, ignore_errors=True)
        return
    began = time.perf_counter()
    run = rows.made(folder, options.rows)
    print(f"{options.rows:,} samples in {run} ({time.perf_counter() - began:.0f} s to make or find)", flush=True)
    for path in sorted(run.rglob("*.jsonl")):
        with path.open("rb") as file:  # into the page cache, for both
            while file.read(1 << 24):
                pass
    peer, mine = (side_of(side, folder, run) for side in (bare, ours))
    show(mine, peer)
    keys = {"time_vs_bare": mine["seconds"] / peer["seconds"], "peak_gb": mine["peak_gb"]}
    print(json.dumps({"bench": "release", "rows": options.rows, **keys, "ours": mine, "bare": peer}))


def show(mine: dict[str, Any], peer: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{'':14}{'total, s':>10}{'CPU, s':>9}{'read':>9}{'Parquet':>9}{'publish':>9}{'MB':>9}{'peak, GB':>10}")
    parts = (("push-dataset", mine, mine["publish"]), ("bare", peer, peer["upload"]))
    for name, side, publish in parts:
        read = f"{side['read']:.1f}" if "read" in side else ""
        print(f"{name:14}{side['seconds']:10.1f}{side['cpu']:9.1f}{read:>9}{side['write']:9.1f}{publish:9.1f}", end="")
        print(f"{side['bytes'] / 1e6:9.0f}{side['peak_gb']:10.2f}")


if __name__ == "__main__":
    main()
