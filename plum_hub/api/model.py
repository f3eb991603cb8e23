"""`train`, `preflight` and `push_model`."""

import json
import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from plum_hub.api.settings import Settings, StrPath, optional_path, setting_lines
from plum_hub.errors import TrainingError
from plum_hub.home import expanded
from plum_hub.progress import LoggedProgress, Progress
from plum_hub.publishing.model import ModelPublishRequest
from plum_hub.publishing.model import push_model as publish_model
from plum_hub.publishing.model_checkpoint import WeightsChoice
from plum_hub.publishing.repository import PublishOptions, Released
from plum_hub.release.schemas import Method
from plum_hub.training.launch import launch as launch_processes
from plum_hub.training.launch import torchrun_command
from plum_hub.training.preflight import Preflight
from plum_hub.training.record import TrainingRecord
from plum_hub.training.run import PreparedTraining, TrainingRequest, check, prepare
from plum_hub.training.run import train as run_training
from plum_hub.training.settings import compose

_WORLD = "WORLD_SIZE"
"""Set by torchrun and accelerate in each of their processes."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """A finished training."""

    checkpoint: Path
    """The checkpoint folder."""
    method: Method
    """How it was trained: `kto`, `dpo` or `sft`."""
    steps: int
    """Optimiser steps."""
    chosen: int
    """Chosen rows that were trained on."""
    rejected: int
    """Rejected rows that were trained on."""
    record: TrainingRecord
    """All of `training.json`: settings, model, data, rows, order and versions."""

    def as_json(self) -> dict[str, object]:
        """Return the result as JSON values."""
        return {"checkpoint": str(self.checkpoint), **self.record.model_dump(mode="json")}


@dataclass(frozen=True, kw_only=True)
class PreflightResult:
    """What a training would do."""

    preflight: Preflight
    """What TRL would pair and batch; its `check` raises if KTO could not learn from that."""
    memory: str
    """Estimated and available memory, in one line."""
    record: TrainingRecord
    """What `training.json` would contain at the start."""

    def as_json(self) -> dict[str, object]:
        """Return the result as JSON values."""
        return {"preflight": self.preflight.model_dump(), **self.record.model_dump(mode="json")}


def train(
    source: StrPath,
    *,
    method: Method = "kto",
    model: str | None = None,
    out: StrPath | None = None,
    settings: Settings = (),
    hub: str = "auto",
    allow_off_policy: bool = False,
    launch: int | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a model on labelled answers with KTO, DPO or SFT.

    KTO (arXiv 2402.01306) takes rows of prompt, completion and label, laid out so that no KL pair shares its prompt and
    every batch holds both labels; DPO takes balanced pairs of them, SFT the chosen rows. Without a GPU, LoRA adapters
    are trained. Rows that are too long are left out and counted, never truncated. The same call resumes an interrupted
    training. In a process started by torchrun or `accelerate launch` it trains together with the others.

    Args:
        source: A run folder, `REPO@TAG`, or a file or folder of rows in one of TRL's standard forms.
        method: `kto`, `dpo` or `sft`.
        model: The model to train, `MODEL[@REVISION]` or a folder. Default: the model that wrote the samples.
        out: The checkpoint folder. Default: `checkpoint` in the run, else `runs/train-SOURCE`; with `-dpo`, `-sft`.
        settings: Training keys, as `{"epochs": 2}`.
        hub: Where `source` is: `auto`, `public`, `embedded` or a URL.
        allow_off_policy: Whether to train a model that did not write the samples; the record says so.
        launch: Number of processes to start on this machine, one per GPU. Default: train in this process.
        progress: Receives the steps.

    Returns:
        The checkpoint folder and the record of the training.

    Raises:
        TrainingError: The rows, the model or the machine cannot be trained with, or the training diverged; the last
            good checkpoint is kept.
        EngineError: The model is unknown or cannot be reached.
        HubError: The dataset is unknown or cannot be reached.
        MissingExtraError: The extra `train` is not installed.

    Example:
        >>> result = plum_hub.train("runs/starter-qwen2.5-coder-0.5b-instruct", settings={"epochs": 2})
        >>> result.checkpoint, result.steps
    """
    first = os.environ.get("RANK", "0") == "0"
    quiet, progress = progress is None, (progress or LoggedProgress()) if first else Progress()
    prepared = prepare(
        TrainingRequest(
            source=os.fspath(source), model=model, out=optional_path(out),
            settings=compose(setting_lines(settings), method=method), hub=hub, allow_off_policy=allow_off_policy,
            processes=int(os.environ.get(_WORLD, launch or 1)),
        )
    )  # fmt: skip
    if prepared.columns_not_read:
        progress.say(f"columns not read, though they might change the training: {', '.join(prepared.columns_not_read)}")
    if launch and _WORLD not in os.environ:
        return _result(prepared, _launched(prepared, progress, quiet=quiet))
    if os.environ.get("ACCELERATE_USE_CPU") == "True" and "MASTER_PORT" in os.environ and _WORLD not in os.environ:
        progress.say("accelerate launch starts a single process on a CPU; --launch N starts N")
    return _result(prepared, run_training(prepared, progress))


def preflight(
    source: StrPath,
    *,
    method: Method = "kto",
    model: str | None = None,
    out: StrPath | None = None,
    settings: Settings = (),
    hub: str = "auto",
    allow_off_policy: bool = False,
    launch: int | None = None,
    progress: Progress | None = None,
) -> PreflightResult:
    """Read what TRL would pair and batch in a KTO training (`train --preflight`); nothing is trained.

    Args:
        source: As in `train`, as are all other arguments.
        method: Only `kto` depends on the order of the rows.
        model: The model to train.
        out: The checkpoint folder.
        settings: Training keys.
        hub: Where `source` is.
        allow_off_policy: Whether to accept a model that did not write the samples.
        launch: Number of processes that would train together.
        progress: Receives notes.

    Returns:
        Counts of KL pairs and batches, and the estimated memory.

    Raises:
        TrainingError: The method is not `kto`, or as `train`.
        PlumError: As `train`.

    Example:
        >>> found = plum_hub.preflight("runs/starter-qwen2.5-coder-0.5b-instruct").preflight
        >>> found.same_prompt_rate, found.single_label_rate
        (0.0, 0.0)
    """
    prepared = prepare(
        TrainingRequest(
            source=os.fspath(source), model=model, out=optional_path(out),
            settings=compose(setting_lines(settings), method=method), hub=hub, allow_off_policy=allow_off_policy,
            processes=int(os.environ.get(_WORLD, launch or 1)),
        )
    )  # fmt: skip
    if prepared.columns_not_read and progress is not None:
        progress.say(f"columns not read, though they might change the training: {', '.join(prepared.columns_not_read)}")
    memory = prepared.plan.line().removeprefix("memory: ")
    return PreflightResult(preflight=check(prepared), memory=memory, record=prepared.record())


def push_model(
    checkpoint: StrPath,
    *,
    repo: str | None = None,
    hub: str = "auto",
    private: bool = False,
    tag: str | None = None,
    branch: str = "main",
    create_pr: bool = False,
    weights: WeightsChoice | None = None,
    base: str | None = None,
    base_license: str | None = None,
    run: StrPath | None = None,
    results: Iterable[StrPath] = (),
    progress: Progress | None = None,
) -> Released:
    """Publish a trained checkpoint as a versioned model.

    Weights, tokenizer, settings, metrics, curves, scores and card are uploaded in one commit. It is read back, loaded
    in a fresh process and compared with the checkpoint on fixed prompts, and only then tagged. Another base than the
    last release's makes a major version, other weights a minor one, another card a patch.

    Args:
        checkpoint: The checkpoint folder, or that of a run that has one.
        repo: `NAME` or `NAMESPACE/NAME` of the model. Default: that of the last release, else `MODEL-plum-METHOD`.
        hub: `auto` (the Hub if there is a token, else the embedded Hub), `public`, `embedded`, a URL, or `none` to
            write the release's files only.
        private: Whether to create the repository as private.
        tag: The release's tag. Default: the version that follows from the content.
        branch: The branch to commit to.
        create_pr: Whether to open a pull request instead of committing; nothing is tagged.
        weights: `adapter` or `merged`, where LoRA adapters were trained with `merge`. Default: `adapter`.
        base: Where the base model is now. Default: where it was when it was trained.
        base_license: SPDX identifier of the base model's licence. Default: what its card says.
        run: The run that was trained on. Default: found around `checkpoint` or in `runs`.
        results: Folders of evaluations, of this model and of its base.
        progress: Receives the progress of the publication.

    Returns:
        The release: repository, tag, commit, and the lines that load it.

    Raises:
        UsageError: The arguments contradict each other, or an evaluation is not of this model or its base.
        TrainingError: There is no finished checkpoint, or its base is missing.
        HubError: The Hub cannot be reached or refuses, or the model that was loaded back differs.
        RunError: The release cannot be written.

    Example:
        >>> released = plum_hub.push_model("runs/starter-qwen2.5-coder-0.5b-instruct/checkpoint", repo="me/coder-plum")
        >>> released.tag
        'v1.0.0'
    """
    options = PublishOptions.chosen(repo=repo, hub=hub, private=private, tag=tag, branch=branch, create_pr=create_pr)
    request = ModelPublishRequest(
        checkpoint=expanded(checkpoint), weights=weights, base=base, base_license=base_license, run=optional_path(run),
        results=tuple(map(expanded, results)),
    )  # fmt: skip
    return publish_model(request, options, progress or LoggedProgress())


def _result(prepared: PreparedTraining, record: TrainingRecord) -> TrainResult:
    return TrainResult(
        checkpoint=prepared.folder.path, method=prepared.request.settings.method, steps=record.steps,
        chosen=record.rows.chosen, rejected=record.rows.rejected, record=record,
    )  # fmt: skip


def _launched(prepared: PreparedTraining, progress: Progress, *, quiet: bool) -> TrainingRecord:
    """Train in processes of torchrun, and return what they recorded."""
    prepared.folder.check(prepared.record())
    with prepared.folder.lock():  # report a folder that cannot be used here, and not from each process
        pass
    request = prepared.request
    arguments = [*_command_line(request, prepared.folder.path)]
    progress.say(shlex.join(torchrun_command(request.processes, arguments)))
    if quiet:
        arguments.append("--quiet")
    code = launch_processes(request.processes, arguments)
    record = prepared.folder.record()
    if code or record is None:
        raise TrainingError(f"one of {request.processes} processes failed; its error is printed above")
    return record


def _command_line(request: TrainingRequest, out: Path) -> Iterator[str]:
    """Yield the arguments of `plum-hub` that start this training."""
    yield from ("train", request.source, "--method", request.settings.method, "--out", str(out), "--hub", request.hub)
    if request.model is not None:
        yield from ("--model", request.model)
    if request.allow_off_policy:
        yield "--allow-off-policy"
    for key, value in request.settings.model_dump(mode="json", exclude_unset=True, exclude={"method"}).items():
        yield from ("--set", f"{key}={json.dumps(value)}")
