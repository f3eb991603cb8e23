"""Whether a version still stands where it stood.

A release cannot hold its own commit, so a tag that was moved to a release which is whole in itself is seen only against
a record from before: a commit that somebody wrote down, the list that the publisher's run keeps, or what was seen here
when the version was first used. Without one, two things are seen still: the card names the version that it was written
for, and no two versions are one commit. Of the versions before it each is named, with its commit, by the manifest of
the one that came next.
"""

import re
from pathlib import Path

from plum_hub.engines.names import COMMIT
from plum_hub.errors import RunError
from plum_hub.loading import FetchedRelease, fetch_release
from plum_hub.publishing.repository import read_releases
from plum_hub.release.manifest import CARD, MANIFEST, ManifestHeader, PreviousRelease
from plum_hub.release.versions import newest_first
from plum_hub.verification.files import check_manifest
from plum_hub.verification.findings import Findings

_NAMED = re.compile(r'revision="([^"]+)"')

UNRECORDED = (
    "no record from before says which commit {version} stood for, so a tag that was moved to another whole release "
    "would not be noticed: compare {commit} with the publisher's, and keep it for --commit"
)


def check_tag(release: FetchedRelease, commit: str | None, run: Path | None, findings: Findings) -> None:
    """Hold a version's commit against every record of it.

    Args:
        release: the version as it stands now.
        commit: the one that it should stand for, by the caller's own record; its first digits will do.
        run: the folder of the run that published it.
        findings: where the comparison is counted.

    Raises:
        RunError: the run has no list of releases, or it is damaged, or does not name this version.
    """
    if commit is not None:
        findings.same("tag", f"{release.version}, by --commit", commit, release.commit[: len(commit)])
    if run is not None:
        findings.same("tag", f"{release.version}, by {run}", _published(run, release), release.commit)
    if release.before is not None:
        findings.same("tag", f"{release.version}, when it was first used here", release.before, release.commit)
    if release.version == release.commit:
        return
    if commit is None and run is None and release.before is None:
        findings.note(UNRECORDED.format(version=release.version, commit=release.commit))
    for tag in newest_first(release.tags):
        if tag != release.version and release.tags[tag] == release.commit:
            findings.wrong("tag", f"{tag} beside {release.version}", "a commit of its own", release.commit)
    for named in _versions_of(release.folder / CARD):  # other repositories are named by their commits
        findings.same("tag", f"{CARD}, the version it is written for", named, release.version)


def check_earlier(release: FetchedRelease, previous: PreviousRelease | None, findings: Findings) -> None:
    """Hold the versions before this one against the manifests that name them, back to the first.

    Raises:
        HubError: a manifest cannot be had.
    """
    if not release.tags:
        if previous is not None:
            findings.note("without the network nothing says where earlier versions stand now")
        return
    version = release.version
    while previous is not None:
        stands = release.tags.get(previous.tag, "no such tag")
        findings.same("tag", f"{previous.tag}, as {version} names it", previous.commit, stands)
        if stands != previous.commit:
            return  # what another commit says of those before it proves nothing
        version = previous.tag
        earlier = fetch_release(release.repo, previous.commit, release.hub, release.kind, (MANIFEST,))
        manifest = check_manifest(earlier.folder, findings, ManifestHeader)
        previous = None if manifest is None else manifest.previous


def _versions_of(card: Path) -> list[str]:
    """The versions that a card tells its readers to load."""
    text = card.read_text(encoding="utf-8", errors="replace") if card.exists() else ""
    return sorted(name for name in set(_NAMED.findall(text)) if not COMMIT.fullmatch(name))


def _published(run: Path, release: FetchedRelease) -> str:
    """The commit that the publisher's run keeps of this version. It may keep several, of Hubs of its own: then the
    release's, if that is among them."""
    named = (release.repo, release.version)
    kept = [row.commit for row in read_releases(run) if (row.repo, row.tag) == named]
    if not kept:
        path = run / "releases.jsonl"
        raise RunError(f"{path}: does not name {release.repo}@{release.version}; name the run that published it")
    return release.commit if release.commit in kept else kept[-1]
