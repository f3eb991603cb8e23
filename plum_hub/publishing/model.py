"""`push-model` as a library: publish what `plum-hub train` made, as one commit that is loaded back before it is tagged.

The version follows the content as a dataset's does (`plum_hub.release.model_tree.stated`).
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from plum_hub.cards import ModelFacts, model_card
from plum_hub.engines.revision import folder_sha256
from plum_hub.errors import MissingExtraError, TrainingError
from plum_hub.progress import Progress
from plum_hub.publishing.model_base import ResolvedBase, base_of
from plum_hub.publishing.model_checkpoint import TrainedCheckpoint, WeightsChoice, opened
from plum_hub.publishing.model_data import source_run, trained_on
from plum_hub.publishing.model_results import MeasuredScores, measured
from plum_hub.publishing.repository import PublishOptions, Released, remember
from plum_hub.release.licences import inherited
from plum_hub.release.model_lineage import ModelLineage
from plum_hub.release.model_tree import ModelContents, with_model_card, write_model_tree
from plum_hub.release.versions import FIRST, Stated
from plum_hub.training.checkpoint import TrainingFolder
from plum_hub.training.load_check import LoadCheckSpec

TREE = Path("release") / "model"
"""The tree that is published, in the checkpoint's folder."""


@dataclass(frozen=True, kw_only=True)
class ModelPublishRequest:
    """What to publish."""

    checkpoint: Path
    """The checkpoint's folder, or that of a run that has one."""
    wish: WeightsChoice | None = None
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

    trained: TrainedCheckpoint
    base: ResolvedBase
    lineage: ModelLineage
    measured: MeasuredScores


def push_model(order: ModelPublishRequest, destination: PublishOptions | None, progress: Progress) -> Released:
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
    with TrainingFolder(trained.folder).lock():
        name = default_name(trained)
        if destination is None:
            model = _model(order, trained, name, "auto", progress)
            return Released(folder=str(_ModelTree(model, name, FIRST).folder))
        with destination.opened(name, "model") as place:
            model = _model(order, trained, place.repo, destination.hub, progress)
            write, load_line = partial(_ModelTree, model, place.repo), partial(_load_line, model.lineage, place.repo)
            released = place.publish(write, load_line, progress, _proof(model, place.repo))
        # By the digest of its weights a training that goes on from them finds the model's name.
        digest = None if trained.form == "adapter" else f"sha256:{folder_sha256(trained.model)}"
        terms = inherited([model.base.facts.license, *model.lineage.data.licenses]).id
        remember(trained.folder, released, model=digest, license=terms)
        return released


def default_name(trained: TrainedCheckpoint) -> str:
    """The repository's name when `--repo` does not say: `<base>-plum-<method>`, at most 96 characters."""
    base = str(trained.facts["model"]["name"]).rpartition("/")[2]
    ending = f"-plum-{trained.facts['settings']['method']}" + ("-merged" if trained.form == "merged" else "")
    return base[: 96 - len(ending)].rstrip("-.") + ending


def _model(order: ModelPublishRequest, trained: TrainedCheckpoint, repo: str, hub: str, progress: Progress) -> _Model:
    facts = trained.facts
    method = facts["settings"]["method"]
    base = base_of(trained, order.base, order.base_license)
    run = source_run(facts["data"], trained.folder, order.run)
    name = repo.rpartition("/")[2]
    scores = measured(order.results, trained, facts["model"]["revision"], name)
    data = trained_on(facts["data"], method, run, hub, progress)
    lineage = ModelLineage(form=trained.form, method=method, base=base.facts, data=data, on_policy=facts["on_policy"])
    return _Model(trained, base, lineage, scores)


class _ModelTree:
    """The tree of a model, written once; only its card, which names the tag, is written anew for another tag."""

    def __init__(self, model: _Model, repo: str, tag: str) -> None:
        from plum_hub.reports.curves import draw

        self.folder = model.trained.folder / TREE
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
        self.manifest: Stated = write_model_tree(self.folder, contents).to_json()

    def under(self, tag: str, _: Stated | None) -> Stated:
        """As `Tree.under`."""
        self.manifest = with_model_card(self.folder, self._card(tag, self._curves)).to_json()
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
        spec = LoadCheckSpec(
            checkpoint=str(model.trained.model.absolute()),
            repo=repo,
            base=str(model.base.folder()) if model.lineage.form == "adapter" else None,
            scratch=scratch,
        )
        command = (sys.executable, "-P", "-m", "plum_hub.training.load_check", str(spec.write()))
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
