"""One damaged byte in each kind of file of a run, its release and its Hub; and caches that were cut short.

The same command must then end in the same release, or say in one line which file is damaged and what mends that. Where
it says to delete a line, that is done, and the command must end in a release of the same rows, in whatever order: a row
that is made again is the last of its file.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.facts import differences, facts_of, rows_of
from tests.rehearsal import published, write_rehearsal


@dataclass(frozen=True)
class Damage:
    """A file, and what becomes of it."""

    name: str
    """Below the folder of the build; a pattern names the first file that matches."""
    cut: bool = False
    """Cut it in half rather than changing one byte."""
    within: bool = False
    """Change a byte so that its line is still JSON with the same keys and types, but with another value."""


_ROWS = (
    "run/environments.jsonl", "run/releases.jsonl",
    *(f"run/shards/00000/{kind}.jsonl" for kind in
      ("instructions", "responses", "suites", "samples", "verdicts", "preferences", "dropped")),
)  # fmt: skip
RUN = tuple(Damage(name) for name in ("run/recipe.yaml", "run/recipe.sha256", "run/logs/001.log", *_ROWS))
ROWS = tuple(Damage(name, within=True) for name in _ROWS)
RELEASE = tuple(
    Damage(f"run/release/dataset/{name}")
    for name in (
        "manifest.json",
        "README.md",
        "recipe.yaml",
        "figures/verdicts.svg",
        "kto/*",
        "samples/*",
        "test_suites/*",
    )
)
HUB = tuple(
    Damage(f"home/hub/{name}")
    for name in ("token", "read-token", "server.log", "lfs/*/*/*", "repos/*/*/*.git/HEAD", "repos/*/*/*.git/config",
                 "repos/*/*/*.git/hub.json", "repos/*/*/*.git/refs/tags/*", "repos/*/*/*.git/refs/heads/main",
                 "repos/*/*/*.git/objects/*/*", "repos/*/*/*.git/objects/pack/*.pack")
)  # fmt: skip
CACHES = tuple(
    Damage(name, cut=True)
    for name in ("hf/hub/datasets--*/blobs/*", "hf/hub/datasets--*/refs/*", "home/rates.json", "run/.lock",
                 "home/mypy/*/*/builtins.data.json", "home/mypy/*/*/builtins.meta.json",
                 "home/mypy/*/*/typing.meta.json")
)  # fmt: skip


KINDS = {"run": RUN, "rows": ROWS, "release": RELEASE, "hub": HUB, "caches": CACHES}
"""All of them, by where they lie."""


@dataclass
class Whole:
    """A build that is complete and published, of which each damaged one is a copy."""

    folder: Path
    typed: bool = False

    def make(self) -> None:
        """Build and publish it; the second start fills the caches of the Hub's client."""
        self.folder.mkdir(parents=True)
        write_rehearsal(self.folder, 3)
        for _ in range(2):
            done = self.start(self.folder)
            assert done.returncode == 0, done.stderr
        (self.folder / "home" / "rates.json").write_text('{"scripted:x": 100.0}\n')

    def start(self, folder: Path) -> "subprocess.CompletedProcess[str]":
        """Run the command of the build in a copy of it."""
        arguments = published(self.folder, "--quiet", mypy=self.typed)
        arguments[arguments.index("--run") + 1] = str(folder / "run")
        environment = {
            "PLUM_HUB_HOME": str(folder / "home"),
            "HF_HOME": str(folder / "hf"),
            "HF_TOKEN": "",
            "HF_ENDPOINT": "",
        }
        return subprocess.run(arguments, capture_output=True, text=True, env=os.environ | environment, check=False)

    def copy(self, name: str) -> Path:
        """A copy to damage."""
        place = self.folder.with_name(name)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.folder, place, symlinks=True)
        return place


def strike(folder: Path, damage: Damage, seed: int) -> str:
    """Damage a file; says where, or "" if there is no such file."""
    path = next((one for one in sorted(folder.glob(damage.name)) if one.is_file() and one.stat().st_size), None)
    if path is None:
        return ""
    random, data = Random(f"{seed} {damage.name}"), bytearray(path.read_bytes())
    path.chmod(0o600)
    if damage.cut:
        path.write_bytes(data[: len(data) // 2])
        return f"{path.relative_to(folder)} was cut to {len(data) // 2} bytes"
    before = bytes(data)
    while data == before or (damage.within and not _alike(before, data)):
        data = bytearray(before)
        at = random.randrange(len(data))
        data[at] ^= 1 << random.randrange(8)
    path.write_bytes(data)
    line = data[:at].count(b"\n") + 1
    return f"{path.relative_to(folder)}:{line}: byte {at}, {before[at : at + 1]!r} became {bytes([data[at]])!r}"


def _alike(before: bytes, after: bytes) -> bool:
    """Whether the rows are others, with the same keys and types of values; checksums do not count."""
    try:
        one, other = ([json.loads(line) for line in data.splitlines()] for data in (before, after))
    except ValueError:
        return False
    for row in (*one, *other):
        row.pop("row_crc32", None)
    return one != other and _shape(one) == _shape(other)


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    return [_shape(inner) for inner in value] if isinstance(value, list) else type(value)


def _delete_line(path: Path, number: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: number - 1] + lines[number:]))


def verdict(whole: Whole, wanted: dict[str, Any], damage: Damage, seed: int) -> tuple[str, str]:
    """Damage a copy, start the command again, and judge what came of it: `equal`, `mended`, `refused`, or a problem."""
    folder = whole.copy("damaged")
    where = strike(folder, damage, seed)
    if not where:
        return "absent", damage.name
    done = whole.start(folder)
    said = done.stderr.strip().splitlines()
    if "Traceback" in done.stderr:
        return "traceback", f"{where}: {done.stderr[-900:]}"
    if done.returncode:
        last = said[-1] if said else ""
        file = Path(where.partition(":")[0].split(" was cut")[0])
        known = any(part in last for part in (file.name, file.parent.name)) and last.startswith("plum-hub: ")
        if not known or "delete this line" not in last:
            return ("refused" if known else "unclear"), f"{where}: {last}"
        _delete_line(folder / file, int(last.partition(f"{file.name}:")[2].partition(":")[0]))
        done, where = whole.start(folder), f"{where}: {last}"
        if done.returncode:
            return "unmended", f"{where}; then: {done.stderr[-900:]}"
        result, found = "mended", differences(rows_of(folder), rows_of(whole.folder))
    else:
        result, found = "equal", differences(facts_of("build", folder), wanted)
    if found:
        return "silent", f"{where}: {'; '.join(found)[:700]}"
    shutil.rmtree(folder, ignore_errors=True)
    return result, where


def verdicts(whole: Whole, seeds: Iterable[int], damages: Iterable[Damage]) -> Iterator[tuple[str, str]]:
    """Try each damage with each seed, on copies of a build that is made where it is missing."""
    if not whole.folder.exists():
        whole.make()
    wanted = facts_of("build", whole.folder)
    for damage in damages:
        for seed in seeds:
            yield verdict(whole, wanted, damage, seed)
