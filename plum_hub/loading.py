"""`plum_hub.load`: the rows of a release, at exactly the commit of its version.

`datasets.load_dataset` pins less than it seems to: without network access it may return the rows of another version.
Here a version is resolved to a commit first, the config's files at that commit are downloaded, and nothing else is
read. The commit of each version that is used or published here is recorded in `$PLUM_HUB_HOME/versions.jsonl`, so that
the version can be loaded without network access, and a tag that has moved is detected.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from plum_hub.errors import HubError, RunError, UsageError
from plum_hub.files import writing
from plum_hub.home import home
from plum_hub.hubs.client import HubTarget, Kind, choose_target, connected, fetch_repo, tags
from plum_hub.hubs.embedded import default_root
from plum_hub.lines import appending, object_of, whole_lines
from plum_hub.network import offline_variable

if TYPE_CHECKING:
    from datasets import Dataset

_MANIFEST = "manifest.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class FetchedRelease:
    """A release that was downloaded."""

    repo: str
    version: str
    """The tag or commit that was requested."""
    commit: str
    folder: Path
    """The downloaded files of `commit`."""
    hub: str
    """`public`, `embedded`, or the address of another Hub."""
    tags: dict[str, str]
    """Commit of every tag of the repository; empty without network access."""
    before: str | None
    """The commit of this version when it was published or first used on this machine; None before that."""
    kind: Kind = "dataset"


def load(repo: str, config: str = "kto", version: str | None = None, hub: str = "auto") -> "Dataset":
    """Load the rows of one config of a release, exactly as they were published under a version.

        plum_hub.load("me/plum-starter", "kto", "v1.0.0")

    Without network access (`HF_HUB_OFFLINE=1`) it returns the same rows if that version was loaded before; otherwise it
    raises an error.

    Args:
        repo: `NAMESPACE/NAME`.
        config: `kto`, `dpo`, `sft`, `samples`, `test_suites` or `dropped`.
        version: A tag, or a full commit. Required.
        hub: Where the repository is: `auto`, `public`, `embedded` or a URL, as for `--hub`.

    Returns:
        The rows, with the columns that the dataset's card describes.

    Raises:
        UsageError: No version is given, or the name has no namespace.
        HubError: There is no such dataset, version or config; the Hub cannot be reached; or the tag has moved.
        RunError: `$PLUM_HUB_HOME` cannot be written, or its record of versions is damaged.
    """
    if version is None:
        raise UsageError(f'which version? Name a tag or a commit, as in  plum_hub.load("{repo}", "{config}", "v1.0.0")')
    release = fetch_pinned(repo, version, hub, (f"{config}/*", _MANIFEST))
    files = sorted(str(path) for path in release.folder.glob("*/*.parquet") if path.parent.name == config)
    if not files:
        manifest = release.folder / _MANIFEST
        configs = ", ".join(sorted(json.loads(manifest.read_bytes())["columns"])) if manifest.is_file() else ""
        choice = f"name one of: {configs}" if configs else "it is not a release of plum-hub"
        raise HubError(f"{repo}@{version} has no config {config!r}; {choice}")
    from datasets import Dataset

    return Dataset.from_parquet(files)


def fetch_pinned(repo: str, version: str, hub: str, patterns: Sequence[str] | None = None) -> FetchedRelease:
    """Download one version of a dataset, and require that its tag has not moved since it was known here.

    The commit of a tag that is used for the first time is recorded.

    Args:
        repo: `NAMESPACE/NAME`.
        version: A tag, or a full commit.
        hub: As for `load`.
        patterns: Which files to download, as glob patterns; None for all.

    Returns:
        The release.

    Raises:
        UsageError: The name has no namespace.
        HubError: The version cannot be downloaded, as for `fetch_release`, or the tag has moved.
        RunError: `$PLUM_HUB_HOME` cannot be written, or its record of versions is damaged.
    """
    if "/" not in repo:
        raise UsageError(f"{repo}: write it as NAMESPACE/NAME, as in  me/{repo}")
    release = fetch_release(repo, version, hub, patterns=patterns)
    if release.before not in (None, release.commit):
        raise HubError(
            f"{repo}@{version} is commit {release.commit} now, and was {release.before} when it was first used here; "
            f"a tag must never move: name the commit that you mean instead of {version}, and ask who moved it"
        )
    remember(release)
    return release


def fetch_release(
    repo: str, version: str, hub: str, kind: Kind | None = "dataset", patterns: Sequence[str] | None = None
) -> FetchedRelease:
    """Download the files of one version.

    Args:
        repo: `NAMESPACE/NAME`.
        version: A tag, or a full commit.
        hub: As for `load`. `auto` without a token means the embedded Hub, then the public one for what it lacks.
        kind: What the repository contains; None for a dataset that has this version, else a model.
        patterns: Which files to download, as glob patterns; None for all.

    Returns:
        The release.

    Raises:
        HubError: There is no such repository or version, the Hub refuses or cannot be reached, or it is needed and
            `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE` is set.
        RunError: The record of versions is damaged.
    """
    kinds: list[Kind] = [kind] if kind else ["dataset", "model"]
    *others, last = _targets(hub)
    for target in (*others, last):
        with _lacked_by_embedded(repo) if others and target is last else nullcontext(), connected(target) as hub_target:
            known = {each: {} if _is_offline(target) else tags(repo, hub_target, each) for each in kinds}
            if found := [each for each in kinds if version in known[each]] or [each for each in kinds if known[each]]:
                return _fetch(repo, version, hub_target, known[found[0]], found[0], patterns)
            if target is last:
                model = kind is None and _recorded_commit(_name(hub_target), repo, version, "model") is not None
                return _fetch(repo, version, hub_target, {}, "model" if model else kinds[0], patterns)
    raise AssertionError("the last Hub returns the release, or an error")


@contextmanager
def _lacked_by_embedded(repo: str) -> Iterator[None]:
    """Say in the errors of another Hub, raised within the block, that the embedded one was asked before.

    Args:
        repo: The repository that it lacks.

    Yields:
        Nothing.

    Raises:
        HubError: As raised within the block.
    """
    try:
        yield
    except HubError as error:
        raise HubError(f"the embedded Hub of this machine has no {repo} with versions; {error}") from error


def _fetch(
    repo: str, version: str, target: HubTarget, known: dict[str, str], kind: Kind, patterns: Sequence[str] | None
) -> FetchedRelease:
    offline = _is_offline(target)
    hub = _name(target)
    exact = _COMMIT.fullmatch(version) is not None
    before = None if exact else _recorded_commit(hub, repo, version, kind)
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
    """Record the commit of a version in `$PLUM_HUB_HOME/versions.jsonl`, unless it is recorded already.

    Args:
        release: The release. One that was requested by its commit needs no record.

    Raises:
        RunError: `$PLUM_HUB_HOME` cannot be written.
    """
    if release.before is None and release.version != release.commit:
        _record(release.hub, release.repo, release.version, release.commit, release.kind)


def remember_published(target: HubTarget, repo: str, version: str, commit: str, kind: Kind) -> None:
    """Record the commit of a version that this machine published, in place of an earlier record.

    A repository that was deleted and published again has other commits: its publisher knows, its users are told.

    Args:
        target: The Hub.
        repo: `NAMESPACE/NAME`.
        version: The tag.
        commit: Its commit.
        kind: What the repository contains.

    Raises:
        RunError: `$PLUM_HUB_HOME` cannot be written, or its record of versions is damaged.
    """
    hub = _name(target)
    if _recorded_commit(hub, repo, version, kind) != commit:
        _record(hub, repo, version, commit, kind)


def _record(hub: str, repo: str, version: str, commit: str, kind: Kind) -> None:
    row = {"hub": hub, "repo": repo, "version": version, "commit": commit}
    row |= {} if kind == "dataset" else {"kind": kind}
    with writing(home()):
        home().mkdir(parents=True, exist_ok=True)
    with appending(_record_file()) as append:
        append({**row, "at": datetime.now(UTC).isoformat(timespec="seconds")})


def _record_file() -> Path:
    return home() / "versions.jsonl"


def _recorded_commit(hub: str, repo: str, version: str, kind: Kind) -> str | None:
    """Return the commit that was recorded last for a version; only publishing records one again."""
    found = None
    for number, line in whole_lines(_record_file()):
        try:
            row = object_of(line)
            if (row["hub"], row["repo"], row["version"], row.get("kind", "dataset")) == (hub, repo, version, kind):
                found = str(row["commit"])
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(f"{_record_file()}:{number}: is damaged; delete this line") from error
    return found


def _targets(hub: str) -> list[HubTarget]:
    """Return the Hubs to search, in this order."""
    first = choose_target(hub)
    if hub != "auto" or not first.embedded:
        return [first]
    public = choose_target("public")  # reading needs no token
    return [first, public] if default_root().exists() else [public]


def _is_offline(target: HubTarget) -> bool:
    """Tell whether `huggingface_hub` would refuse to use the network for this Hub."""
    return not target.embedded and offline_variable() is not None


def _unknown(repo: str, version: str, known: dict[str, str], kind: Kind, *, offline: bool) -> str:
    if offline:
        variable = offline_variable()
        return (
            f"{variable} is set, and {repo}@{version} was never loaded here, so its commit is not known; "
            f"unset {variable}, or name the full commit"
        )
    if known:
        return f"{repo} has no version {version}; name one of: {', '.join(sorted(known))}"
    return f"there is no {kind} {repo} with versions on this Hub; check the name, the token and --hub"
