"""Detect moved tags.

A release cannot contain its own commit, so a tag that was moved to another intact release is only detected with an
earlier record: a commit that somebody wrote down, the list of releases that the publisher's run keeps, or the commit
that the version had when it was published or first used here. Without a record two checks remain: the card names the
version that it was written for, and no two versions have the same commit. The commits of earlier versions are named by
the manifest of the version that followed each.
"""

import re
from pathlib import Path

from plum_hub.engines.names import COMMIT
from plum_hub.errors import RunError
from plum_hub.loading import FetchedRelease, fetch_release
from plum_hub.release.manifest import CARD, MANIFEST, ManifestHeader, PreviousRelease
from plum_hub.release.record import read_releases
from plum_hub.release.versions import newest_first
from plum_hub.verification.files import check_manifest
from plum_hub.verification.findings import Findings

_CARD_REVISION = re.compile(r'revision="([^"]+)"')

_UNRECORDED = (
    "there is no earlier record of the commit of {version}, so a tag that was moved to another intact release would "
    "not be noticed: compare {commit} with the publisher's, and keep it for --commit"
)


def check_tag(release: FetchedRelease, commit: str | None, run: Path | None, findings: Findings) -> None:
    """Compare a version's commit with every record of it.

    Args:
        release: The version as it is now.
        commit: The commit that it should have according to the caller's own record, or its first digits.
        run: The folder of the run that published it.
        findings: Receives the results.

    Raises:
        RunError: The run has no list of releases, the list is damaged, or it does not name this version.
    """
    if commit is not None:
        findings.compare("tag", f"{release.version}, by --commit", commit, release.commit[: len(commit)])
    if run is not None:
        findings.compare("tag", f"{release.version}, by {run}", _published(run, release), release.commit)
    if release.before is not None:
        findings.compare("tag", f"{release.version}, when it was first used here", release.before, release.commit)
    if release.version == release.commit:
        return
    if commit is None and run is None and release.before is None:
        findings.note(_UNRECORDED.format(version=release.version, commit=release.commit))
    for tag in newest_first(release.tags):
        if tag != release.version and release.tags[tag] == release.commit:
            findings.fail("tag", f"{tag} beside {release.version}", "a commit of its own", release.commit)
    for named in _card_versions(release.folder / CARD):  # it names other repositories by their commits
        findings.compare("tag", f"{CARD}, the version it is written for", named, release.version)


def check_previous(release: FetchedRelease, previous: PreviousRelease | None, findings: Findings) -> None:
    """Compare the commits of earlier versions with the manifests that name them, back to the first version.

    Args:
        release: The version as it is now.
        previous: The version before it, as its manifest names it.
        findings: Receives the results.

    Raises:
        HubError: A manifest cannot be downloaded.
    """
    if not release.tags:
        if previous is not None:
            findings.note("without network access the commits of earlier versions cannot be checked")
        return
    version = release.version
    while previous is not None:
        current = release.tags.get(previous.tag, "no such tag")
        findings.compare("tag", f"{previous.tag}, as {version} names it", previous.commit, current)
        if current != previous.commit:
            return  # the manifest of another commit proves nothing about earlier versions
        version = previous.tag
        earlier = fetch_release(release.repo, previous.commit, release.hub, release.kind, (MANIFEST,))
        manifest = check_manifest(earlier.folder, findings, ManifestHeader)
        previous = None if manifest is None else manifest.previous


def _card_versions(card: Path) -> list[str]:
    """Return the versions that a card tells its readers to load."""
    text = card.read_text(encoding="utf-8", errors="replace") if card.exists() else ""
    return sorted(name for name in set(_CARD_REVISION.findall(text)) if not COMMIT.fullmatch(name))


def _published(run: Path, release: FetchedRelease) -> str:
    """Return the commit that the publisher's run has on record for this version.

    A run that was published to several Hubs has several: then the release's commit, if it is one of them.
    """
    version = (release.repo, release.version)
    recorded = [row.commit for row in read_releases(run) if (row.repo, row.tag) == version]
    if not recorded:
        path = run / "releases.jsonl"
        raise RunError(f"{path}: does not name {release.repo}@{release.version}; name the run that published it")
    return release.commit if release.commit in recorded else recorded[-1]
