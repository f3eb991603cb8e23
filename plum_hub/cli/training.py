"""What `train` does with its options: prepare, then look, launch or train, and show what came of it."""

import os
import shlex
import sys
from math import ceil
from typing import Any

from plum_hub.cli import screen
from plum_hub.errors import TrainingError
from plum_hub.progress import Progress
from plum_hub.training.batch_order import SCARCE
from plum_hub.training.checkpoint import REPORT
from plum_hub.training.launch import launch, torchrun_command
from plum_hub.training.preflight import Preflight
from plum_hub.training.record import TrainingRecord
from plum_hub.training.run import PreparedTraining, TrainingRequest, check, prepare, train
from plum_hub.training.settings import compose

_WORLD = "WORLD_SIZE"
"""Set by torchrun and accelerate in each of their processes."""


def carry_out(given: dict[str, Any]) -> None:
    """Train, or do the part of it that was asked for. Of several processes only the first shows anything.

    Raises:
        PlumError: with its exit code.
    """
    first = os.environ.get("RANK", "0") == "0"
    progress = screen.progress(given["quiet"] or not first)
    prepared = prepare(_wanted(given))
    if first and prepared.data.ignored_columns:
        progress.say(
            f"not read, though they could change what is trained on: columns {', '.join(prepared.data.ignored_columns)}"
        )
    if given["preflight"]:
        _show_preflight(prepared, check(prepared), as_json=given["as_json"])
        return
    if given["launch"] and _WORLD not in os.environ:
        _launch(given["launch"], prepared, progress)
        return
    if os.environ.get("ACCELERATE_USE_CPU") == "True" and "MASTER_PORT" in os.environ and _WORLD not in os.environ:
        progress.say("accelerate launch starts one process on a CPU, however many are asked for; --launch N starts N")
    try:
        record = train(prepared, progress)
    finally:
        progress.close()
    if first:
        _show(prepared, record, as_json=given["as_json"])


def _wanted(given: dict[str, Any]) -> TrainingRequest:
    return TrainingRequest(
        source=given["source"],
        model=given["model"],
        out=given["out"],
        settings=compose(given["settings"], method=given["method"]),
        hub=given["hub"],
        allow_off_policy=given["allow_off_policy"],
        processes=int(os.environ.get(_WORLD, given["launch"] or 1)),
    )


def _launch(processes: int, prepared: PreparedTraining, progress: Progress) -> None:
    prepared.folder.check(prepared.record())
    with prepared.folder.lock():  # what is wrong with the folder is said here, and not by each process
        pass
    arguments = sys.argv[1:]
    progress.say(shlex.join(torchrun_command(processes, arguments)))
    if launch(processes, arguments):
        raise TrainingError(f"one of {processes} processes failed; what it said is above")


def _show_preflight(prepared: PreparedTraining, found: Preflight, *, as_json: bool) -> None:
    record = prepared.record()
    if as_json:
        screen.echo_json({"preflight": found.model_dump()} | record.model_dump(mode="json"))
    else:
        screen.facts(_rows(record))
        screen.facts(
            [
                (
                    "KL pairs",
                    f"{found.pairs:,}, {found.same_prompt_rate:.2%} of one prompt, {found.foreign:,} across batches",
                ),
                ("batches", f"{found.batches:,}, {found.single_label_rate:.2%} of one label"),
                ("given out twice", f"{found.repeated:,} rows"),
                ("memory", prepared.plan.line().removeprefix("memory: ")),
            ]
        )
    found.check()


def _show(prepared: PreparedTraining, record: TrainingRecord, *, as_json: bool) -> None:
    folder = str(prepared.folder.path)
    if as_json:
        screen.echo_json({"checkpoint": folder} | record.model_dump(mode="json"))
        return
    report = prepared.folder.path / REPORT
    curves = [("curves", str(report))] if report.is_dir() else []  # there were none before this version
    screen.facts([*_rows(record), ("steps", f"{record.steps:,}"), ("checkpoint", folder), *curves])


def _rows(record: TrainingRecord) -> list[tuple[str, str]]:
    rows, weights = record.rows, record.class_weights
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in rows.left_out.items()) or "none"
    policy = {True: "yes", False: "no, as allowed", None: "nobody says who wrote the rows"}[record.on_policy]
    found = [
        ("model", f"{record.model.name} at {record.model.revision}"),
        ("data", f"{record.data.name} at {record.data.revision}"),
        ("on-policy", policy),
        ("rows", f"{rows.kept:,} of {rows.instructions:,} instructions; left out: {left_out}"),
        ("labels", f"{rows.chosen:,} chosen, {rows.rejected:,} rejected"),
    ]
    if rows.columns_not_read:
        found.append(("not read", f"columns {', '.join(rows.columns_not_read)}"))
    for number, epoch in enumerate(rows.epochs, 1):
        rest = ", ".join(f"{count:,} {reason}" for reason, count in epoch.left_out.items()) or "none"
        found.append((f"epoch {number}", f"{epoch.rows:,} rows; left out: {rest}"))
        if SCARCE in epoch.left_out:
            enough = ceil(rows.kept / min(rows.chosen, rows.rejected))
            found.append(("", f"--set batch_size={enough} would have a place for nearly all"))
    found.append(("class weights", f"chosen {weights.desirable:.4g}, rejected {weights.undesirable:.4g}"))
    return found
