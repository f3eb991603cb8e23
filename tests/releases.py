"""Two real versions of a small release on an embedded Hub, and clients of it in processes of their own."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plum_hub.hubs.embedded import EmbeddedHub
from plum_hub.loading import FetchedRelease
from plum_hub.progress import Progress
from plum_hub.release.content import RowsDigest
from plum_hub.verification.dataset import verify_dataset
from plum_hub.verification.options import VerifyOptions
from tests.rehearsal import plum_hub, published, write_rehearsal

REPO = "local/numbers"
CLI = [sys.executable, "-m", "plum_hub"]


@dataclass(frozen=True)
class Releases:
    """`folder` holds the runs `run` (v1.0.0) and `more` (v1.1.0), the Hub's root and the clients' caches."""

    folder: Path
    commits: dict[str, str]

    def environment(self, **more: str) -> dict[str, str]:
        """As of a user without a token, whose caches are in `folder`."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING", "PLUM_"))}
        ours = {"PLUM_HUB_HOME": str(self.folder / "home"), "HF_HOME": str(self.folder / "hf")}
        return kept | ours | {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1"} | more

    def tree(self, version: str = "v1.0.0") -> Path:
        """The tree that was published, as its run keeps it."""
        return self.folder / ("run" if version == "v1.0.0" else "more") / "release" / "dataset"

    def hub(self) -> EmbeddedHub:
        """The Hub that has them."""
        return EmbeddedHub(self.folder / "home" / "hub")

    def python(self, code: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run code in a fresh process."""
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, env=self.environment(**environment), capture_output=True, text=True, check=False)

    def plum_hub(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of plum-hub to its end."""
        return subprocess.run(
            [*CLI, *arguments], env=self.environment(**environment), capture_output=True, text=True, check=False
        )


def two_versions(folder: Path, *options: str) -> Releases:
    """Build and publish v1.0.0 with six samples a suite, and v1.1.0 with eight."""
    write_rehearsal(folder)
    releases = Releases(folder, {})
    for run, samples in (("run", 6), ("more", 8)):
        more = ("--json", "--repo", "numbers", "--set", f"samples.per_instruction={samples}", *options)
        done = plum_hub(published(folder, *more, run=run), **releases.environment())
        assert done.returncode == 0, done.stderr
        release = json.loads(done.stdout)["release"]
        releases.commits[release["tag"]] = release["commit"]
    assert set(releases.commits) == {"v1.0.0", "v1.1.0"}
    return releases


def rewrite(tree: Path, config: str, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the rows of a config where they lie."""
    import pyarrow as pa
    from pyarrow import parquet

    (path,) = (tree / config).glob("*.parquet")
    table = parquet.read_table(path)
    rows = table.to_pylist()
    change(rows)
    parquet.write_table(pa.Table.from_pylist(rows, table.schema), path, compression="zstd")


def reseal(tree: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Make the manifest agree with the files again, as a forger would; `change` forges more of it."""
    path = tree / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    for file in manifest["files"]:
        content = (tree / file["path"]).read_bytes()
        file["sha256"], file["size"] = hashlib.sha256(content).hexdigest(), len(content)
        if file["path"].endswith(".parquet"):
            file["rows"] = _rows_of(tree / file["path"])
    if "content" in manifest:  # a dataset's
        manifest["content"] = {
            config: _digest(tree / config) for config in manifest["content"] if (tree / config).is_dir()
        }
    path.write_text(json.dumps(manifest))


def audit(tree: Path) -> dict[str, set[str]]:
    """What does not agree in a release's folder, by check; no sample is judged again."""
    release = FetchedRelease(
        repo="local/x", version="c" * 40, commit="c" * 40, folder=tree, hub="embedded", tags={}, before=None
    )
    report = verify_dataset(VerifyOptions(repo="local/x", version="c" * 40, sample=0), release, Progress())
    found: dict[str, set[str]] = {}
    for one in report.findings.listed:
        found.setdefault(one.check, set()).add(one.what)
    return found


def _digest(folder: Path) -> str:
    """The digest of a config's rows, as far as they can be read."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = RowsDigest()
    for path in sorted(folder.glob("*.parquet")):
        try:
            rows.add(parquet.read_table(path))
        except (pa.ArrowException, OSError):
            continue
    return rows.hexdigest()


def _rows_of(path: Path) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return int(parquet.read_metadata(path).num_rows)
    except pa.ArrowInvalid:
        return 0


_PUBLISH = """
import sys
from pathlib import Path
from huggingface_hub import CommitOperationAdd, HfApi

api, (tree, repo, tag) = HfApi(), sys.argv[1:]
api.create_repo(repo, repo_type="dataset", exist_ok=True)
files = [path for path in sorted(Path(tree).rglob("*")) if path.is_file()]
operations = [CommitOperationAdd(path.relative_to(tree).as_posix(), path) for path in files]
title = f"plum-hub release {tag}"
commit = api.create_commit(repo, operations, commit_message=title, repo_type="dataset").oid
if tag in {one.name for one in api.list_repo_refs(repo, repo_type="dataset").tags}:
    api.delete_tag(repo, repo_type="dataset", tag=tag)
api.create_tag(repo, repo_type="dataset", tag=tag, tag_message=title, revision=commit)
print(commit)
"""


def publish(releases: Releases, tree: Path, repo: str, tag: str = "v1.0.0") -> str:
    """Publish a tree by the library alone, moving the tag if it stands elsewhere; gives the commit."""
    with releases.hub() as hub:
        client = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": hub.token, "HF_HUB_DISABLE_XET": "1"}
        done = releases.python(_PUBLISH, str(tree), repo, tag, **client)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
