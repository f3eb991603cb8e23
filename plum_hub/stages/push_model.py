"""`push-model` as a library: publish what `plum-hub train` made, as one commit that is loaded back before it is tagged.

The version follows the content as a dataset's does (`plum_hub.release.model_tree.stated`).
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from plum_hub.cards import ModelFacts, model_card
from plum_hub.engines.revision import folder_sha256
from plum_hub.errors import MissingExtraError, TrainingError
from plum_hub.hubs.client import (
    HubTarget,
    PublishRequest,
    choose_target,
    connected,
    fetch_file,
    publish_repo,
    tags,
    whoami,
)
from plum_hub.lines import appending, whole_lines
from plum_hub.release.licences import inherited
from plum_hub.release.model_tree import ModelContents, ModelLineage, stated, with_model_card, write_model_tree
from plum_hub.release.tree import MANIFEST
from plum_hub.release.versions import FIRST, following, newest_first, rows_of
from plum_hub.stages.base import Progress
from plum_hub.stages.model.base import RELEASES, Base, base_of
from plum_hub.stages.model.checkpoint import Trained, Wish, opened
from plum_hub.stages.model.data import source_run, trained_on
from plum_hub.stages.model.results import Measured, measured
from plum_hub.stages.release import Destination, Released
from plum_hub.training.answers import Spec
from plum_hub.training.checkpoint import Folder

TREE = Path("release") / "model"
"""The tree that is published, in the checkpoint's folder."""


@dataclass(frozen=True, kw_only=True)
class ModelOrder:
    """What to publish."""

    checkpoint: Path
    """The checkpoint's folder, or that of a run that has one."""
    wish: Wish | None = None
    """Which of LoRA's weights; None for the adapters."""
    base: str | None = None
    """Where the model that was trained lies; None for where it lay then."""
    base_license: str | None = None
    run: Path | None = None
    """The run that was trained on, where it is found neither around the checkpoint nor in `runs`."""
    results: tuple[Path, ...] = ()
    """Evaluations' folders: of the model, and of its base."""


@dataclass(frozen=True)
class _Model:
    """Everything that is published but its version."""

    trained: Trained
    base: Base
    lineage: ModelLineage
    measured: Measured
    folder: Path


def push_model(order: ModelOrder, destination: Destination | None, progress: Progress) -> Released:
    """Write the tree and publish it; without a destination only write it. Publishing what is there changes nothing.

    Raises:
        TrainingError: there is no finished checkpoint, or its base is gone.
        UsageError: an evaluation is not one of this model or its base.
        HubError: the Hub cannot be reached or refuses, or the model that was loaded back is another one.
        RunError: the tree cannot be written.
    """
    if not all(map(find_spec, ("torch", "peft", "matplotlib"))):
        raise MissingExtraError("publishing a model", "train")
    trained = opened(order.checkpoint, order.wish)
    with Folder(trained.folder).lock():
        if destination is None:
            model = _model(order, trained, default_name(trained), "auto", progress)
            _Tree(model, default_name(trained), FIRST)
            return Released(folder=str(model.folder))
        with connected(choose_target(destination.hub)) as target:
            name = destination.repo or default_name(trained)
            repo = name if "/" in name else f"{whoami(target)}/{name}"
            model = _model(order, trained, repo, destination.hub, progress)
            return _published(model, repo, destination, target, progress)


def default_name(trained: Trained) -> str:
    """The repository's name when `--repo` does not say: `<base>-plum-<method>`, at most 96 characters."""
    base = str(trained.facts["model"]["name"]).rpartition("/")[2]
    ending = f"-plum-{trained.facts['settings']['method']}" + ("-merged" if trained.form == "merged" else "")
    return base[: 96 - len(ending)].rstrip("-.") + ending


def _model(order: ModelOrder, trained: Trained, repo: str, hub: str, progress: Progress) -> _Model:
    facts = trained.facts
    method = facts["settings"]["method"]
    base = base_of(trained, order.base, order.base_license)
    run = source_run(facts["data"], trained.folder, order.run)
    name = repo.rpartition("/")[2]
    scores = measured(order.results, trained, facts["model"]["revision"], name)
    data = trained_on(facts["data"], method, run, hub, progress)
    lineage = ModelLineage(form=trained.form, method=method, base=base.facts, data=data, on_policy=facts["on_policy"])
    return _Model(trained, base, lineage, scores, trained.folder / TREE)


def _published(model: _Model, repo: str, destination: Destination, target: HubTarget, progress: Progress) -> Released:
    progress.begin("release", 1, 0)
    there = tags(repo, target, "model")
    tag = _version(model, repo, destination, target, there)
    request = PublishRequest(
        folder=model.folder,
        repo=repo,
        tag=tag,
        message=f"plum-hub release {tag}",
        private=destination.private,
        branch=destination.branch,
        create_pr=destination.create_pr,
        kind="model",
    )
    if tag in there or destination.create_pr:
        published = publish_repo(request, target)
    else:
        with _proof(model, repo) as command:
            published = publish_repo(replace(request, proof=command), target)
    progress.advance()
    progress.end()
    released = Released(
        folder=str(model.folder),
        repo=repo,
        tag=published.tag,
        commit=published.commit,
        url=published.url,
        hub="embedded" if target.embedded else destination.hub,
        endpoint=None if target.embedded else target.endpoint,
        load_line=_load_line(model.lineage, repo, published.tag or published.commit),
    )
    if published.tag is not None:
        _note(model, released)
    return released


def _version(model: _Model, repo: str, destination: Destination, target: HubTarget, there: Iterable[str]) -> str:
    """The tag of this content; leaves the tree, written for that tag, in its folder."""
    found = [] if destination.tag else newest_first(there)
    tag = destination.tag or next(iter(found), FIRST)
    tree = _Tree(model, repo, tag)
    if not found:
        return tag
    newest = _manifest(repo, tag, target)
    for tag in found:
        theirs = newest if tag == found[0] else _manifest(repo, tag, target)
        # The card names its tag, so equal cards are equal to the byte only when written for the same tag.
        if theirs and rows_of(stated(theirs)) == rows_of(stated(tree.manifest)) and tree.under(tag) == theirs:
            return tag
    tag = following(found[0], newest and stated(newest), stated(tree.manifest))
    tree.under(tag)
    return tag


def _manifest(repo: str, tag: str, target: HubTarget) -> dict[str, Any] | None:
    path = fetch_file(repo, tag, MANIFEST, target, "model")
    found: dict[str, Any] | None = None if path is None else json.loads(path.read_bytes())
    return found if found and "lineage" in found else None


class _Tree:
    """The tree of a model, written once; only its card, which names the tag, is written anew for another tag."""

    def __init__(self, model: _Model, repo: str, tag: str) -> None:
        from plum_hub.reports.curves import draw

        self._model, self._repo = model, repo
        self._curves: tuple[str, ...] = ()
        adapter = model.lineage.form == "adapter"
        contents = ModelContents(
            lineage=model.lineage,
            checkpoint=model.trained.folder,
            model=model.trained.model,
            generation_config=model.base.file("generation_config.json") if adapter else None,
            curves=draw,
            results=model.measured.files,
            card=lambda curves: self._card(tag, curves),
        )
        self.manifest: Mapping[str, Any] = write_model_tree(model.folder, contents)

    def under(self, tag: str) -> Mapping[str, Any]:
        """What the manifest says when the card names this tag, as it then does."""
        self.manifest = with_model_card(self._model.folder, self._card(tag, self._curves))
        return self.manifest

    def _card(self, tag: str, curves: tuple[str, ...]) -> str:
        self._curves = curves
        return model_card(
            ModelFacts(
                repo=self._repo,
                tag=tag,
                lineage=self._model.lineage,
                training=self._model.trained.facts,
                curves=curves,
                results=self._model.measured.results,
            )
        )


@contextmanager
def _proof(model: _Model, repo: str) -> Iterator[tuple[str, ...]]:
    """The command that loads a commit back and compares it with the checkpoint, which has been asked before.

    Raises:
        TrainingError: the checkpoint itself does not load.
    """
    with tempfile.TemporaryDirectory() as scratch:
        spec = Spec(
            checkpoint=str(model.trained.model.absolute()),
            repo=repo,
            base=str(model.base.folder()) if model.lineage.form == "adapter" else None,
            scratch=scratch,
        )
        command = (sys.executable, "-P", "-m", "plum_hub.training.answers", str(spec.write()))
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
            raise TrainingError(f"{model.trained.model}: does not load ({said}); train anew with --out DIR")
        yield command


def _load_line(lineage: ModelLineage, repo: str, revision: str) -> str:
    """What a user pastes to load it."""
    if lineage.form == "adapter" and lineage.base.commit is None:
        return (
            "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n"
            f'base = AutoModelForCausalLM.from_pretrained("{lineage.base.name}")  # its folder\n'
            f'model = PeftModel.from_pretrained(base, "{repo}", revision="{revision}")'
        )
    kind, room = ("AutoModelForCausalLM", "transformers")
    if lineage.form == "adapter":
        kind, room = ("AutoPeftModelForCausalLM", "peft")
    return f'from {room} import {kind}\nmodel = {kind}.from_pretrained("{repo}", revision="{revision}")'


def _note(model: _Model, released: Released) -> None:
    """Append the release to the checkpoint's list, unless it is the last one there, with the digest of the weights, by
    which a training that goes on from them finds their name."""
    path = model.trained.folder / RELEASES
    whole = model.lineage.form != "adapter"
    row = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        **asdict(released),
        "model": f"sha256:{folder_sha256(model.trained.model)}" if whole else None,
        "license": inherited([model.lineage.base.license, *model.lineage.data.licenses]).id,
    }
    last: dict[str, Any] = json.loads(([line for _, line in whole_lines(path)] or [b"{}"])[-1])
    if any(last.get(key) != row[key] for key in ("repo", "tag", "commit", "hub")):
        with appending(path) as append:
            append(row)
