"""What `run` does with its options: compose the recipe and the settings of training, do the rounds, and show them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from plum_hub.cli import screen
from plum_hub.cli.building import BuildArguments, composed
from plum_hub.recipe import Recipe
from plum_hub.rounds.folder import RoundsFolder
from plum_hub.rounds.record import RoundDataset, RoundModel, RoundRecord
from plum_hub.rounds.run import RoundsRequest, run_rounds
from plum_hub.training.settings import TrainingSettings, compose

_ENDING = "-rounds"


def carry_out(given: dict[str, Any]) -> None:
    """Do the rounds that are owed, and show all.

    Raises:
        PlumError: with its exit code.
    """
    of_training = [setting for setting in given["settings"] if _key(setting) in TrainingSettings.model_fields]
    building = _building(given, [setting for setting in given["settings"] if setting not in of_training])
    settings = compose(of_training, method=given["method"])
    destination = building.destination()
    recipe, folder, name = _recipe(building, given)
    wanted = RoundsRequest(
        recipe=recipe,
        rounds=given["rounds"],
        settings=settings,
        destination=destination and replace(destination, repo=destination.repo or name),
        keep_going=given["keep_going"],
        benchmark_data=given["benchmark_data"],
        processes=given["launch"],
        quiet=given["quiet"],
    )
    rows = run_rounds(wanted, RoundsFolder(folder), lambda: screen.progress(given["quiet"]))
    if given["as_json"]:
        screen.echo_json({"run": str(folder), "rounds": [row.model_dump(mode="json") for row in rows]})
    else:
        _show(folder, rows)


def _key(setting: str) -> str:
    return setting.partition("=")[0].strip()


def _building(given: Mapping[str, Any], settings: Sequence[str]) -> BuildArguments:
    """The options that `build-dataset` has too."""
    names = (
        "model", "generator", "instructions", "suites", "recipe", "folder", "as_json", "quiet", "repo", "hub",
        "private", "benchmark_data",
    )  # fmt: skip
    own: dict[str, Any] = {name: given[name] for name in names}
    own |= {"carry_over": None, "dry_run": False, "verbose": False, "tag": None, "branch": "main", "create_pr": False}
    parts = (f"instructions.held_out={given['held_out']}", "instructions.part=all")
    return BuildArguments(**own, settings=(*settings, *parts))


def _recipe(building: BuildArguments, given: Mapping[str, Any]) -> tuple[Recipe, Path, str]:
    """The recipe for all instructions, the folder of the rounds, and the name of their dataset's repository."""
    _, default = composed(replace(building, folder=None), lambda _: None)
    folder: Path = given["folder"] or default.with_name(f"{default.name}{_ENDING}")
    say = screen.progress(given["quiet"]).say
    recipe, _ = composed(replace(building, folder=RoundsFolder(folder).round(0)), say)
    return recipe, folder, f"plum-{default.name}"[: 96 - len(_ENDING)].rstrip("-.") + _ENDING


def _show(folder: Path, rows: Sequence[RoundRecord]) -> None:
    for row in rows:
        gain = row.gain
        passing = f"{gain.before:.1%} -> {gain.after:.1%} of {row.samples_each} samples each"
        points = "{:+.1f} points, 95 % interval {:+.1f} to {:+.1f}".format(
            *(100 * share for share in (gain.gain, gain.low, gain.high))
        )
        test = "" if gain.p_value is None else f", McNemar p = {gain.p_value:.3g}"
        screen.facts(
            [
                (f"round {row.round}", row.decision),
                ("dataset", _where(row.dataset)),
                ("model", _where(row.model)),
                ("checkpoint", str(folder / row.checkpoint)),
                ("passing", f"{passing}, {gain.instructions:,} held-out instructions"),
                ("gain", points + test),
            ]
        )
    screen.facts([("run", str(folder))])


def _where(release: RoundDataset | RoundModel) -> str:
    if not release.repo:
        return "not published (--hub none)"
    return f"{release.repo} {release.tag}, commit {release.commit}"
