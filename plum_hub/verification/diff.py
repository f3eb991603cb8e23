"""`plum-hub diff`: how the rows of two versions of a dataset differ, and why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from plum_hub.errors import HubError
from plum_hub.loading import FetchedRelease, fetch_pinned
from plum_hub.release.reading import UnreadableError, config_files, open_parquet
from plum_hub.release.schemas import CONFIGS, Config
from plum_hub.verification.causes import ReleaseFacts, causes, release_facts
from plum_hub.verification.matching import KEYS, ConfigChanges, Flip, ReleaseMatcher, reasons
from plum_hub.verification.rows import count_parts, split

_NEEDED: dict[Config, set[str]] = {
    "samples": {"text", "code", "index", "suite_id", "status"},
    "kto": {"label"},
    "test_suites": {"cases", "response_id"},
    "dropped": {"reason"},
}
"""Columns that the comparison needs, besides those that identify a row."""


@dataclass(frozen=True)
class ReleaseDiff:
    """The differences between two versions of a dataset."""

    old: FetchedRelease
    new: FetchedRelease
    provenance: Mapping[str, tuple[object, object]]
    """Where their recipes and lineages differ: the old and the new value, by key."""
    columns: Mapping[Config, tuple[list[str], list[str]]]
    """Configs whose columns differ: the columns that were removed, and those that were added."""
    configs: Mapping[Config, ConfigChanges]
    """The rows that differ, by config."""
    flips: list[Flip]
    """Samples that are chosen in one version and rejected in the other."""

    def as_json(self) -> dict[str, object]:
        """Return the differences as JSON values, for `--json`."""
        return {
            "repo": self.old.repo,
            "old": {"version": self.old.version, "commit": self.old.commit},
            "new": {"version": self.new.version, "commit": self.new.commit},
            "making": {key: list(pair) for key, pair in self.provenance.items()},
            "columns": {name: {"removed": removed, "added": added} for name, (removed, added) in self.columns.items()},
            "configs": {
                config: {
                    **asdict(changes),
                    "why": {kind: reasons(getattr(changes, kind)) for kind in ("added", "removed", "changed")},
                }
                for config, changes in self.configs.items()
            },
            "flips": [asdict(flip) for flip in self.flips],
        }


def diff(repo: str, old: str, new: str, hub: str) -> ReleaseDiff:
    """Compare two versions of a dataset, row by row.

    Args:
        repo: `NAMESPACE/NAME`.
        old: A tag or a full commit.
        new: Another one.
        hub: Where the repository is: `auto`, `public`, `embedded` or a URL, as for `--hub`.

    Returns:
        The differences.

    Raises:
        UsageError: The name has no namespace.
        HubError: A version cannot be downloaded, its tag has moved, or it is not a release of plum-hub.
        RunError: `$PLUM_HUB_HOME` cannot be written.
    """
    return compare_releases(fetch_pinned(repo, old, hub), fetch_pinned(repo, new, hub))


def compare_releases(old: FetchedRelease, new: FetchedRelease) -> ReleaseDiff:
    """Compare two releases that are on this machine.

    Args:
        old: One version.
        new: Another version of the same dataset.

    Returns:
        The differences.

    Raises:
        HubError: One of them is damaged, or is not a release of plum-hub.
    """
    try:
        columns = {config: (_columns(old, config), _columns(new, config)) for config in CONFIGS}
        count = count_parts(old.folder, new.folder)
        provenance = _facts(old).differences(_facts(new))
        matcher = ReleaseMatcher(causes(provenance))
        with split(old.folder, count) as old_parts, split(new.folder, count) as new_parts:
            for pair in zip(old_parts, new_parts, strict=True):
                matcher.add(*pair)
    except UnreadableError as error:
        name = f"{old.repo}@{old.version}  and  plum-hub verify {new.repo}@{new.version}"
        raise HubError(f"{old.repo}: {error}; check it with  plum-hub verify {name}") from error
    differing = {
        config: ([name for name in before if name not in after], [name for name in after if name not in before])
        for config, (before, after) in columns.items()
        if before and after and set(before) != set(after)
    }
    return ReleaseDiff(old, new, provenance, differing, matcher.configs, matcher.flips)


def _facts(release: FetchedRelease) -> ReleaseFacts:
    return release_facts(release.folder, f"{release.repo}@{release.version}")


def _columns(release: FetchedRelease, config: Config) -> list[str]:
    """Return the columns of a config; none if the release does not have it."""
    found: list[str] = []
    for path in config_files(release.folder, config):
        found = list(open_parquet(path).schema_arrow.names)
        needed = {"instruction_id", *KEYS[config], *_NEEDED.get(config, ())}
        if missing := needed - set(found):
            raise HubError(
                f"{release.repo}@{release.version}: {config} has no column {', '.join(sorted(missing))}, "
                "so its rows cannot be compared; name a dataset that plum-hub published"
            )
    return found
