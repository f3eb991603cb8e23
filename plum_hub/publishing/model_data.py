"""Find the published dataset that holds exactly the rows that a model was trained on.

`training.json` has the digest of the rows as they were read. Rows of a release are read again in the same way; rows of
a run were in the order of its suites and samples, which a release of that run restores.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from plum_hub.engines.names import COMMIT
from plum_hub.errors import HubError, RunError
from plum_hub.hubs.front_matter import FrontMatterError, read, texts
from plum_hub.loading import FetchedRelease, fetch_release
from plum_hub.progress import Progress
from plum_hub.records import Preference
from plum_hub.release.manifest import CARD, MANIFEST
from plum_hub.release.model_lineage import TrainedOn
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.release.reading import config_files, read_rows
from plum_hub.release.record import read_releases
from plum_hub.release.schemas import Method
from plum_hub.run import Run
from plum_hub.spool import Spool
from plum_hub.training.data import TrainingData, by_suite_id, method_rows, preference_of, read_data
from plum_hub.training.record import DataRecord
from plum_hub.training.stored_rows import stored


def find_dataset(data: DataRecord, method: Method, run: Path | None, hub: str, progress: Progress) -> TrainedOn:
    """Find the published dataset that holds the rows of a training.

    Args:
        data: Section `data` of `training.json`.
        method: Training method.
        run: The run that was trained on, where it is known.
        hub: Hub of a dataset that was trained on by its repository name.
        progress: Reports why no dataset is named.

    Returns:
        The rows, and the dataset where there is one.
    """
    found, why = None, "it is not published"
    for release, reason in _releases(data, run, hub):
        if release is None:
            why = reason
        elif digest_of(release, data.revision, method) == data.sha256:
            found = release
            break
        else:
            why = f"{release.repo}@{release.version} does not hold the rows that were trained on"
    if found is None:
        progress.say(f"the card names no dataset: {why}")
    return TrainedOn(
        name=data.name,
        revision=data.revision,
        rows=data.rows,
        sha256=data.sha256,
        repo=None if found is None else found.repo,
        tag=None if found is None else _tag(found),
        commit=None if found is None else found.commit,
        licenses=_licences(None if found is None else found.folder),
        config=method if found is not None and (found.folder / MANIFEST).is_file() else None,
    )


def find_run(data: DataRecord, checkpoint: Path, given: Path | None) -> Path | None:
    """Find the run that a checkpoint was trained on: the given one, its parent folder, or that name in `runs`.

    Args:
        data: Section `data` of `training.json`.
        checkpoint: Folder of the checkpoint.
        given: The run, from the user; None to search for it.

    Returns:
        The run with the recorded revision; None where it is not found.

    Raises:
        RunError: The given run is another one.
    """
    for folder in [given] if given else [checkpoint.absolute().parent, Path("runs") / data.name]:
        seal = folder / "recipe.sha256"
        if seal.is_file() and data.revision == f"sha256:{seal.read_text(encoding='ascii').strip()}":
            return folder
    if given:
        Run.open(given)
        raise RunError(f"{given}: is not the run that was trained on ({data.name}, {data.revision})")
    return None


def digest_of(release: FetchedRelease, revision: str, method: Method) -> str | None:
    """Compute the digest of a dataset's rows when they are read as the training read them.

    Args:
        release: The dataset, downloaded.
        revision: Recorded revision of the training data: a commit where a repository was trained on.
        method: Training method.

    Returns:
        The digest, as in `training.json`; None where a run was trained on and the dataset is not a release of plum-hub.

    Raises:
        PlumError: The dataset cannot be read.
    """
    folder = release.folder
    if COMMIT.fullmatch(revision):
        data = read_data(f"{release.repo}@{release.commit}", method, release.hub)
    elif (folder / MANIFEST).is_file():
        rows = stored(method_rows(by_suite_id(_preferences(folder)), method, _rule(folder)))
        data = TrainingData("", "", rows, None)
    else:
        return None
    return data.digest()


def _releases(data: DataRecord, run: Path | None, hub: str) -> Iterator[tuple[FetchedRelease | None, str]]:
    """Yield published datasets that may hold the rows, or why one cannot be fetched."""
    candidates: list[tuple[str, str, str]] = []
    if COMMIT.fullmatch(data.revision):
        candidates = [(data.name, data.revision, hub)]
    elif run is not None:
        candidates = [
            (release.repo, release.tag or release.commit, release.hub_option if release.hub else hub)
            for release in reversed(read_releases(run))
        ]
        if not candidates:
            yield None, f"publish it first, with  plum-hub push-dataset {quote(str(run))}"
    for repo, version, where in candidates:
        try:
            yield fetch_release(repo, version, where), ""
        except HubError as error:
            yield None, str(error)


def _preferences(folder: Path) -> Iterator[Preference]:
    """Yield the labelled rows of a release, in the order of its samples."""
    spool, labelled = Spool(), {}
    for path in config_files(folder, "kto"):
        for number, row in enumerate(read_rows([path])):
            labelled[row["sample_id"]] = len(spool)
            spool.append(vars(preference_of(row, number, f"{path.name}:{number + 1}")))
    for row in read_rows(config_files(folder, "samples"), ("sample_id", "suite_id")):
        if (place := labelled.get(row["sample_id"])) is not None:
            yield Preference(**{**spool[place], "suite_id": row["suite_id"]})


def _rule(folder: Path) -> PreferencesConfig:
    """Read the rule of a release, which decides how dpo's pairs are formed."""
    from plum_hub import layers
    from plum_hub import recipe as recipes

    return recipes.parse(layers.read(folder / "recipe.yaml"), "recipe.yaml").preferences


def _tag(release: FetchedRelease) -> str | None:
    """Return the tag of the dataset's commit, if any."""
    if release.version != release.commit:
        return release.version
    return next((tag for tag, commit in sorted(release.tags.items()) if commit == release.commit), None)


def _licences(folder: Path | None) -> tuple[str | None, ...]:
    """Read the licences of a dataset's sources, else of its card; a single None where neither states one."""
    if folder is None:
        return (None,)
    if (folder / MANIFEST).is_file():
        sources = json.loads((folder / MANIFEST).read_bytes())["lineage"]["sources"]
        return tuple(dict.fromkeys(source["license"] for source in sources))
    try:
        stated = texts(read((folder / CARD).read_text(encoding="utf-8")).get("license"))
    except (OSError, FrontMatterError, UnicodeDecodeError):
        stated = []
    return tuple(stated) or (None,)
