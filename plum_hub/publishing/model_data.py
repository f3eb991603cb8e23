"""The rows that a model was trained on: whether a published dataset holds these very rows.

`training.json` has the digest of the rows as they were read. From a release they are read again in the same way; those
of a run lay in the order of its suites and samples, in which a release of that run gives them too.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from plum_hub.engines.names import COMMIT
from plum_hub.errors import HubError, RunError
from plum_hub.hubs.front_matter import FrontMatterError, read, texts
from plum_hub.loading import FetchedRelease, fetch_release
from plum_hub.progress import Progress
from plum_hub.publishing.repository import releases
from plum_hub.records import Preference
from plum_hub.release.manifest import CARD, MANIFEST
from plum_hub.release.model_lineage import TrainedOn
from plum_hub.release.reading import config_files, read_rows
from plum_hub.release.schemas import Method
from plum_hub.run import Run
from plum_hub.training.data import TrainingData, preference_of, read_data, views


def trained_on(said: Mapping[str, Any], method: Method, run: Path | None, hub: str, progress: Progress) -> TrainedOn:
    """The rows of a training, with the published dataset that holds them, where there is one.

    Args:
        said: the section `data` of `training.json`.
        method: of the training.
        run: the run that was trained on, where it is known.
        hub: where a dataset is looked for that was trained on by its name.
        progress: told why nothing published is named.
    """
    found, why = None, "it is not published"
    for release, reason in _releases(said, run, hub):
        if release is None:
            why = reason
        elif digest_of(release, said, method) == said["sha256"]:
            found = release
            break
        else:
            why = f"{release.repo}@{release.version} does not hold the rows that were trained on"
    if found is None:
        progress.say(f"the card names no dataset: {why}")
    return TrainedOn(
        **{key: said[key] for key in ("name", "revision", "rows", "sha256")},
        repo=None if found is None else found.repo,
        tag=None if found is None else _tag(found),
        commit=None if found is None else found.commit,
        licenses=_licences(None if found is None else found.folder),
    )


def source_run(said: Mapping[str, Any], checkpoint: Path, given: Path | None) -> Path | None:
    """The run that a checkpoint was trained on: the one that is given, that it lies in, or of that name beside it.

    Raises:
        RunError: the one that is given is another run.
    """
    for folder in [given] if given else [checkpoint.absolute().parent, Path("runs") / said["name"]]:
        seal = folder / "recipe.sha256"
        if seal.is_file() and said["revision"] == f"sha256:{seal.read_text(encoding='ascii').strip()}":
            return folder
    if given:
        Run.open(given)
        raise RunError(f"{given}: is not the run that was trained on ({said['name']}, {said['revision']})")
    return None


def digest_of(release: FetchedRelease, said: Mapping[str, Any], method: Method) -> str | None:
    """The digest that the rows of a dataset have when they are read as the training read them; None where it has none
    such."""
    folder = release.folder
    if COMMIT.fullmatch(said["revision"]):
        data = read_data(f"{release.repo}@{release.commit}", method, release.hub)
    elif (folder / MANIFEST).is_file():
        preferences = sorted(_preferences(folder), key=lambda row: row.suite_id)
        data = TrainingData("", "", views(preferences, method, _seed(folder)), None)
    else:
        return None
    digest: str = data.facts()["sha256"]
    return digest


def _releases(said: Mapping[str, Any], run: Path | None, hub: str) -> Iterator[tuple[FetchedRelease | None, str]]:
    """Published datasets that may hold the rows, or why one cannot be had."""
    wanted: list[tuple[str, str, str]] = []
    if COMMIT.fullmatch(said["revision"]):
        wanted = [(said["name"], said["revision"], hub)]
    elif run is not None:
        wanted = [(row["repo"], row["tag"], row["hub"]) for row in reversed(releases(run))]
        if not wanted:
            yield None, f"publish it first, with  plum-hub push-dataset {run}"
    for repo, version, where in wanted:
        try:
            yield fetch_release(repo, version, where), ""
        except HubError as error:
            yield None, str(error)


def _preferences(folder: Path) -> Iterator[Preference]:
    """The labelled rows of a release, in the order of its samples."""
    labelled: dict[str, Preference] = {}
    for path in config_files(folder, "kto"):
        rows = enumerate(read_rows([path]))
        labelled |= {row["sample_id"]: preference_of(row, number, path.name) for number, row in rows}
    for row in read_rows(config_files(folder, "samples"), ("sample_id", "suite_id")):
        if found := labelled.get(row["sample_id"]):
            yield replace(found, suite_id=row["suite_id"])


def _seed(folder: Path) -> int:
    """Of the pairs."""
    from plum_hub import recipe as recipes

    return recipes.parse(recipes.read(folder / "recipe.yaml"), "recipe.yaml").preferences.seed


def _tag(release: FetchedRelease) -> str | None:
    """The version that the dataset's commit has."""
    if release.version != release.commit:
        return release.version
    return next((tag for tag, commit in sorted(release.tags.items()) if commit == release.commit), None)


def _licences(folder: Path | None) -> tuple[str | None, ...]:
    """What the sources of a dataset state, or its card; one None where nothing does."""
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
