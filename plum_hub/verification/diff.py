"""`plum-hub diff`: what became of the rows of one version in another, and why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from plum_hub.errors import HubError
from plum_hub.loading import FetchedRelease, fetch_pinned
from plum_hub.release.reading import UnreadableError, config_files, open_parquet
from plum_hub.release.schemas import CONFIGS, Config
from plum_hub.verification.causes import ReleaseFacts, causes, release_facts
from plum_hub.verification.matching import KEYS, ConfigChanges, Flip, ReleaseMatcher, reasons
from plum_hub.verification.rows import parts_of, split

_NEEDED: dict[Config, set[str]] = {
    "samples": {"text", "code", "index", "suite_id", "status"},
    "kto": {"label"},
    "test_suites": {"cases", "response_id"},
    "dropped": {"reason"},
}
"""Columns without which rows cannot be compared, beside those that name them."""


@dataclass(frozen=True)
class ReleaseDiff:
    """Two versions of a dataset, side by side."""

    old: FetchedRelease
    new: FetchedRelease
    making: Mapping[str, tuple[object, object]]
    """In what their recipes and lineages differ: key, the old value, the new one."""
    columns: Mapping[Config, tuple[list[str], list[str]]]
    """The configs whose columns differ: those that are gone, those that are new."""
    configs: Mapping[Config, ConfigChanges]
    flips: list[Flip]

    def as_json(self) -> dict[str, Any]:
        """The difference as JSON values, for `--json`."""
        return {
            "repo": self.old.repo,
            "old": {"version": self.old.version, "commit": self.old.commit},
            "new": {"version": self.new.version, "commit": self.new.commit},
            "making": {key: list(pair) for key, pair in self.making.items()},
            "columns": {name: {"removed": gone, "added": fresh} for name, (gone, fresh) in self.columns.items()},
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

    Raises:
        HubError: a version cannot be had, was moved, or is no release of plum-hub.
        RunError: `$PLUM_HUB_HOME` cannot be written.
    """
    return compared(fetch_pinned(repo, old, hub), fetch_pinned(repo, new, hub))


def compared(old: FetchedRelease, new: FetchedRelease) -> ReleaseDiff:
    """As `diff`, of versions that are on this machine already."""
    try:
        columns = {config: (_columns(old, config), _columns(new, config)) for config in CONFIGS}
        count = parts_of(old.folder, new.folder)
        making = _making(old).differences(_making(new))
        matching = ReleaseMatcher(causes(making))
        with split(old.folder, count) as former, split(new.folder, count) as latter:
            for pair in zip(former, latter, strict=True):
                matching.part(*pair)
    except UnreadableError as error:
        name = f"{old.repo}@{old.version}  and  plum-hub verify {new.repo}@{new.version}"
        raise HubError(f"{old.repo}: {error}; look closer with  plum-hub verify {name}") from error
    differing = {
        config: ([name for name in one if name not in two], [name for name in two if name not in one])
        for config, (one, two) in columns.items()
        if one and two and set(one) != set(two)
    }
    return ReleaseDiff(old, new, making, differing, matching.configs, matching.flips)


def _making(release: FetchedRelease) -> ReleaseFacts:
    return release_facts(release.folder, f"{release.repo}@{release.version}")


def _columns(release: FetchedRelease, config: Config) -> list[str]:
    """The columns of a config; none where it is not there."""
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
