"""Publish a checkpoint as one commit that is loaded back before it is tagged: `push-model` as a library.

The version follows from the content, as a dataset's does (`plum_hub.release.model_tree.stated`).
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
from plum_hub.publishing.model_base import ResolvedBase, resolve_base
from plum_hub.publishing.model_checkpoint import TrainedCheckpoint, WeightsChoice, open_checkpoint
from plum_hub.publishing.model_data import find_dataset, find_run
from plum_hub.publishing.model_results import MeasuredScores, read_scores
from plum_hub.publishing.repository import PublishOptions, Released, record_release, unpublished_name
from plum_hub.release.licences import inherited
from plum_hub.release.model_lineage import ModelLineage
from plum_hub.release.model_tree import ModelContents, with_model_card, write_model_tree
from plum_hub.release.record import last_release
from plum_hub.release.versions import Stated
from plum_hub.training.checkpoint import TrainingFolder
from plum_hub.training.load_check import LoadCheckSpec

_TREE = Path("release") / "model"
"""Folder of the release, within the checkpoint."""


@dataclass(frozen=True, kw_only=True)
class ModelPublishRequest:
    """What to publish of a checkpoint."""

    checkpoint: Path
    """Checkpoint folder, or a run with a single checkpoint."""
    weights: WeightsChoice | None = None
    """Which weights of a LoRA training; None for the adapters."""
    base: str | None = None
    """Folder or repository of the base model; None for where it was when the training started."""
    base_license: str | None = None
    """Licence of the base model; None for the one that its card states."""
    run: Path | None = None
    """The run that was trained on, unless it is around the checkpoint or in `runs`."""
    results: tuple[Path, ...] = ()
    """Folders of evaluations: one of the model, one of its base."""


@dataclass(frozen=True)
class _Model:
    """What is published, except for the version."""

    trained: TrainedCheckpoint
    base: ResolvedBase
    lineage: ModelLineage
    scores: MeasuredScores


def push_model(request: ModelPublishRequest, options: PublishOptions | None, progress: Progress) -> Released:
    """Write a model's release and publish it; content that is published already changes nothing.

    Args:
        request: What to publish.
        options: Where to publish; None only writes the release.
        progress: Progress reporter.

    Returns:
        The release.

    Raises:
        TrainingError: There is no finished checkpoint, or its base model is missing.
        UsageError: An evaluation is neither of this model nor of its base.
        HubError: The Hub cannot be reached or refuses, or the published model does not answer as the checkpoint does.
        RunError: The tree cannot be written.
        MissingExtraError: torch, PEFT or matplotlib is not installed.
    """
    if not all(map(find_spec, ("torch", "peft", "matplotlib"))):
        raise MissingExtraError("publishing a model", "train")
    trained = open_checkpoint(request.checkpoint, request.weights)
    with TrainingFolder(trained.folder).lock():
        name = _default_name(trained)
        last = last_release(trained.folder, whole=trained.form != "adapter")
        if options is None:
            repo, tag = unpublished_name(last, name)
            model = _model(request, trained, repo, "auto", progress)
            return Released(folder=str(_ModelTree(model, repo, tag).folder))
        with options.open(name, "model", last) as repository:
            repo = repository.repo
            model = _model(request, trained, repo, options.hub, progress)
            write, load_line = partial(_ModelTree, model, repo), partial(_load_line, model.lineage, repo)
            released = repository.publish(write, load_line, progress, _proof(model, repo))
        # A training that starts from these weights finds the model's published name by their digest.
        digest = None if trained.form == "adapter" else f"sha256:{folder_sha256(trained.model)}"
        licence = inherited([model.base.facts.license, *model.lineage.data.licenses]).id
        record_release(trained.folder, released, model=digest, licence=licence)
        return released


def _default_name(trained: TrainedCheckpoint) -> str:
    """Name the repository `<base>-plum-<method>`, cut to the Hub's 96 characters."""
    base = trained.record.model.name.rpartition("/")[2]
    ending = f"-plum-{trained.record.settings.method}" + ("-merged" if trained.form == "merged" else "")
    return base[: 96 - len(ending)].rstrip("-.") + ending


def _model(request: ModelPublishRequest, trained: TrainedCheckpoint, repo: str, hub: str, progress: Progress) -> _Model:
    record = trained.record
    method = record.settings.method
    base = resolve_base(trained, request.base, request.base_license)
    run = find_run(record.data, trained.folder, request.run)
    scores = read_scores(request.results, trained, repo.rpartition("/")[2])
    data = find_dataset(record.data, method, run, hub, progress)
    lineage = ModelLineage(form=trained.form, method=method, base=base.facts, data=data, on_policy=record.on_policy)
    return _Model(trained, base, lineage, scores)


class _ModelTree:
    """The tree of a model, written once; only the card, which names the tag, is rewritten for another tag."""

    def __init__(self, model: _Model, repo: str, tag: str) -> None:
        from plum_hub.training.curves import draw

        self.folder = model.trained.folder / _TREE
        self._model, self._repo = model, repo
        self._curves: tuple[str, ...] = ()
        adapter = model.lineage.form == "adapter"
        contents = ModelContents(
            lineage=model.lineage,
            checkpoint=model.trained.folder,
            model=model.trained.model,
            generation_config=model.base.file("generation_config.json") if adapter else None,
            curves=draw,
            results=model.scores.files,
            card=lambda curves: self._card(tag, curves),
        )
        self.manifest: Stated = write_model_tree(self.folder, contents).to_json()

    def under(self, tag: str, _: Stated | None) -> Stated:
        """Rewrite the card for a tag.

        Args:
            tag: The tag that the card is to name.

        Returns:
            Content of the manifest after that.
        """
        self.manifest = with_model_card(self.folder, self._card(tag, self._curves)).to_json()
        return self.manifest

    def _card(self, tag: str, curves: tuple[str, ...]) -> str:
        self._curves = curves
        return model_card(
            ModelFacts(
                repo=self._repo,
                tag=tag,
                lineage=self._model.lineage,
                training=self._model.trained.record.model_dump(mode="json"),
                curves=curves,
                results=self._model.scores.results,
            )
        )


@contextmanager
def _proof(model: _Model, repo: str) -> Iterator[tuple[str, ...]]:
    """Give the command that loads a commit back and compares its answers with the checkpoint's, taken before."""
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
            reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
            raise TrainingError(f"{model.trained.model}: does not load ({reason}); train again with --out DIR")
        yield command


def _load_line(lineage: ModelLineage, repo: str, revision: str) -> str:
    """Return the code that loads a revision."""
    if lineage.form == "adapter" and lineage.base.commit is None:
        return (
            "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n"
            f'base = AutoModelForCausalLM.from_pretrained("{lineage.base.name}")  # its folder\n'
            f'model = PeftModel.from_pretrained(base, "{repo}", revision="{revision}")'
        )
    kind, package = ("AutoModelForCausalLM", "transformers")
    if lineage.form == "adapter":
        kind, package = ("AutoPeftModelForCausalLM", "peft")
    return f'from {package} import {kind}\nmodel = {kind}.from_pretrained("{repo}", revision="{revision}")'
