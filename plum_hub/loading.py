"""`plum_hub.load`: rows of a release, at exactly the commit that its version names.

`datasets.load_dataset` pins less than it seems to: without the network it may answer with the rows of another version.
Here a version becomes a commit first, the config's files at that commit are downloaded, and nothing else is read. Which
commit a version stood for is remembered in `$PLUM_HUB_HOME/versions.jsonl`: so it is found again without the network,
and a tag that was moved since is noticed.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from plum_hub.errors import HubError, RunError, UsageError
from plum_hub.files import writing
from plum_hub.home import home
from plum_hub.hubs.client import HubTarget, Kind, choose_target, connected, fetch_repo, tags
from plum_hub.hubs.embedded import default_root
from plum_hub.lines import appending, object_of, whole_lines

if TYPE_CHECKING:
    from datasets import Dataset

_MANIFEST = "manifest.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class FetchedRelease:
    """A release on this machine. `folder` has the files of `commit`; `version` is the tag or commit that was asked."""

    repo: str
    version: str
    commit: str
    folder: Path
    hub: str
    """`public`, `embedded`, or another Hub's address."""
    tags: dict[str, str]
    """Every tag of the repository with its commit; empty without the network."""
    before: str | None
    """The commit that this version stood for when it was first used here; None where it was not."""
    kind: Kind = "dataset"


def load(repo: str, config: str = "kto", version: str | None = None, hub: str = "auto") -> "Dataset":
    """The rows of one config of a release, exactly as they were published under a version.

        plum_hub.load("me/plum-starter", "kto", "v1.0.0")

    Without the network (`HF_HUB_OFFLINE=1`) it gives the same rows where that version was loaded before, else an error.

    Args:
        repo: `namespace/name`.
        config: `kto`, `dpo`, `sft`, `samples`, `test_suites` or `dropped`.
        version: a tag, or a full commit. It must be named.
        hub: as `--hub` takes it: `auto`, `public`, `embedded` or a Hub's URL.

    Raises:
        UsageError: no version is named.
        HubError: no such dataset, version or config; the Hub cannot be reached; the tag was moved.
        RunError: `$PLUM_HUB_HOME` cannot be written, or what it remembers is damaged.
    """
    if version is None:
        raise UsageError(f'which version? Name a tag or a commit, as in  plum_hub.load("{repo}", "{config}", "v1.0.0")')
    release = fetch_pinned(repo, version, hub, (f"{config}/*", _MANIFEST))
    files = sorted(str(path) for path in release.folder.glob("*/*.parquet") if path.parent.name == config)
    if not files:
        manifest = release.folder / _MANIFEST
        there = ", ".join(sorted(json.loads(manifest.read_bytes())["columns"])) if manifest.is_file() else ""
        raise HubError(f"{repo}@{version} has no config {config!r}; name one of: {there or 'none, it is no release'}")
    from datasets import Dataset

    return Dataset.from_parquet(files)


def fetch_pinned(repo: str, version: str, hub: str, patterns: Sequence[str] | None = None) -> FetchedRelease:
    """As `fetch_release`, of a tag that has not moved; remembers the commit of a tag that is new here.

    Raises:
        HubError: as `fetch_release`; or the tag stands on another commit than it did here before.
        RunError: as `load`.
    """
    release = fetch_release(repo, version, hub, patterns=patterns)
    if release.before not in (None, release.commit):
        raise HubError(
            f"{repo}@{version} is commit {release.commit} now, and was {release.before} when it was first used here; "
            f"a tag never moves: name the commit that you mean instead of {version}, and ask who moved it"
        )
    remember(release)
    return release


def fetch_release(
    repo: str, version: str, hub: str, kind: Kind | None = "dataset", patterns: Sequence[str] | None = None
) -> FetchedRelease:
    """Download the files of one version, or those of them that match one of the patterns.

    `auto` without a token means the embedded Hub, and the public one for what the embedded one has not. Where `kind` is
    None, it is what has this version: a dataset or, where none has it, a model.

    Raises:
        HubError: no such repository or version, the Hub refuses or cannot be reached, or it would be needed and
            `HF_HUB_OFFLINE` is set.
        RunError: what is remembered of versions is damaged.
    """
    kinds: list[Kind] = [kind] if kind else ["dataset", "model"]
    *others, last = _targets(hub)
    for target in (*others, last):
        with connected(target) as there:
            known = {one: {} if _is_offline(target) else tags(repo, there, one) for one in kinds}
            if found := [one for one in kinds if version in known[one]] or [one for one in kinds if known[one]]:
                return _fetched(repo, version, there, known[found[0]], found[0], patterns)
            if target is last:
                model = kind is None and _remembered(_name(there), repo, version, "model") is not None
                return _fetched(repo, version, there, {}, "model" if model else kinds[0], patterns)
    raise AssertionError("the last Hub has it, or says why not")


def _fetched(
    repo: str, version: str, target: HubTarget, known: dict[str, str], kind: Kind, patterns: Sequence[str] | None
) -> FetchedRelease:
    offline = _is_offline(target)
    hub = _name(target)
    exact = _COMMIT.fullmatch(version) is not None
    before = None if exact else _remembered(hub, repo, version, kind)
    commit = version if exact else before if offline else known.get(version)
    if commit is None:
        raise HubError(_unknown(repo, version, known, kind, offline=offline))
    folder = fetch_repo(repo, commit, target, kind, patterns)
    return FetchedRelease(
        repo=repo, version=version, commit=commit, folder=folder, hub=hub, tags=known, before=before, kind=kind
    )


def _name(target: HubTarget) -> str:
    return "embedded" if target.embedded else target.endpoint or "public"


def remember(release: FetchedRelease) -> None:
    """Keep which commit a tag stands for, unless one is kept already; a commit that was asked for needs no keeping.

    Raises:
        RunError: `$PLUM_HUB_HOME` cannot be written.
    """
    if release.before is not None or release.version == release.commit:
        return
    with writing(home()):
        home().mkdir(parents=True, exist_ok=True)
    row = {key: asdict(release)[key] for key in ("hub", "repo", "version", "commit")}
    row |= {} if release.kind == "dataset" else {"kind": release.kind}
    with appending(_memory()) as append:
        append({**row, "at": datetime.now(UTC).isoformat(timespec="seconds")})


def _memory() -> Path:
    return home() / "versions.jsonl"


def _remembered(hub: str, repo: str, version: str, kind: Kind) -> str | None:
    for number, line in whole_lines(_memory()):
        try:
            row = object_of(line)
            if (row["hub"], row["repo"], row["version"], row.get("kind", "dataset")) == (hub, repo, version, kind):
                return str(row["commit"])
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(f"{_memory()}:{number}: is damaged; delete this line") from error
    return None


def _targets(hub: str) -> list[HubTarget]:
    """The Hubs to look at, one after the other."""
    first = choose_target(hub)
    if hub != "auto" or not first.embedded:
        return [first]
    public = choose_target("public")  # anybody may read there
    return [first, public] if default_root().exists() else [public]


def _is_offline(target: HubTarget) -> bool:
    """Whether `huggingface_hub` would refuse to use the network, where it is needed."""
    if target.embedded:
        return False
    said = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return said.upper() in {"1", "ON", "YES", "TRUE"}


def _unknown(repo: str, version: str, known: dict[str, str], kind: Kind, *, offline: bool) -> str:
    if offline:
        return (
            f"HF_HUB_OFFLINE is set, and {repo}@{version} was never loaded here, so nothing says which commit it is; "
            "unset it, or name the full commit"
        )
    if known:
        return f"{repo} has no version {version}; name one of: {', '.join(sorted(known))}"
    return f"there is no {kind} {repo} with versions on this Hub; check the name, the token, and which Hub is meant"
