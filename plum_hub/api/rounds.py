"""`run_rounds`: sample, judge and train, again with each new model."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from plum_hub.api.composition import RecipeArguments
from plum_hub.api.settings import Settings, StrPath, optional_path, setting_lines
from plum_hub.engines import EngineConfig
from plum_hub.progress import LoggedProgress, Progress
from plum_hub.publishing.account import check_account
from plum_hub.publishing.repository import PublishOptions
from plum_hub.recipe import Recipe
from plum_hub.release.schemas import Method
from plum_hub.rounds.folder import RoundsFolder
from plum_hub.rounds.record import RoundRecord
from plum_hub.rounds.run import RoundsRequest
from plum_hub.rounds.run import run_rounds as carry_out
from plum_hub.training.settings import TrainingSettings, compose

_ENDING = "-rounds"


@dataclass(frozen=True, kw_only=True)
class RoundsResult:
    """All rounds so far."""

    run: Path
    """The folder of all rounds."""
    rounds: tuple[RoundRecord, ...]
    """The record of each round: dataset, model, checkpoint, counts, gain and decision."""

    def as_json(self) -> dict[str, object]:
        """Return the result as JSON values."""
        return {"run": str(self.run), "rounds": [row.model_dump(mode="json") for row in self.rounds]}


def run_rounds(
    *,
    rounds: int = 1,
    model: str | EngineConfig | None = None,
    generator: str | EngineConfig | None = None,
    instructions: str | None = None,
    suites: str | None = None,
    recipe: StrPath | Recipe | None = None,
    held_out: float = 0.2,
    method: Method = "kto",
    settings: Settings = (),
    keep_going: bool = False,
    launch: int = 1,
    run: StrPath | None = None,
    repo: str | None = None,
    hub: str = "auto",
    private: bool = False,
    benchmark_data: StrPath | None = None,
    progress: Callable[[], Progress] | None = None,
) -> RoundsResult:
    """Sample a model, judge its answers, train it on them, and start over with the trained model (`plum-hub run`).

    The instructions are split once: each round samples and trains on one part, and is measured on the other against the
    model it began with, paired by instruction. The rounds end with the first whose 95 % interval of the gain is not
    entirely above 0. The same call resumes interrupted rounds, continues with more, or publishes those that
    were run with `hub="none"`.

    Args:
        rounds: Maximum number of rounds.
        model: The model that is sampled and trained; it must be local.
        generator: The model that writes the test suites, as in `build_dataset`.
        instructions: The source of the instructions, as in `build_dataset`.
        suites: Test suites that are used instead of generating any, as in `build_dataset`.
        recipe: A YAML file, the name of a shipped recipe, or a `Recipe`.
        held_out: Share of the instructions that is never trained on, between 0 and 1.
        method: `kto`, `dpo` or `sft`.
        settings: Keys of the recipe, as `samples.per_instruction`, and of the training, as `epochs`.
        keep_going: Whether to continue after a round without a significant gain.
        launch: Number of processes that train together, one per GPU.
        run: The folder. Default: `runs/INSTRUCTIONS-MODEL-rounds`.
        repo: Repository of the dataset and the model, one version per round. Default:
            `plum-INSTRUCTIONS-MODEL-rounds`.
        hub: `auto`, `public`, `embedded`, a URL, or `none`.
        private: Whether to create the repositories as private.
        benchmark_data: A folder of benchmarks; rows that contain their problems are left out.
        progress: Makes the progress reporter of each phase; the trainings' own processes report on stderr.

    Returns:
        The folder, and the record of every round.

    Raises:
        UsageError: The model cannot be trained here, or the arguments contradict each other.
        RunError: The folder holds other rounds, or a part of the instructions is empty.
        TrainingError: A round has no labels that its method could learn from, or its training failed.
        PlumError: A phase failed; everything made so far is kept.

    Example:
        >>> result = plum_hub.run_rounds(rounds=3, model="Qwen/Qwen2.5-Coder-0.5B-Instruct")
        >>> [(row.gain.gain, row.gain.low, row.gain.high, row.decision) for row in result.rounds]
    """
    lines = setting_lines(settings)
    of_training = [line for line in lines if _key(line) in TrainingSettings.model_fields]
    of_recipe = tuple(line for line in lines if line not in of_training)
    parts = (f"instructions.held_out={held_out}", "instructions.part=all")
    training = compose(of_training, method=method)
    options = PublishOptions.chosen(repo=repo, hub=hub, private=private)
    arguments = RecipeArguments(
        recipe=recipe, model=model, generator=generator, instructions=instructions, suites=suites, hub=hub,
        settings=(*of_recipe, *parts),
    )  # fmt: skip
    _, default = arguments.compose(None, lambda _: None)
    folder = RoundsFolder(optional_path(run) or default.with_name(f"{default.name}{_ENDING}"))
    reporter = progress or LoggedProgress
    check_account(options, reporter().say)
    composed, _ = arguments.compose(folder.round(0), reporter().say)
    name = f"plum-{default.name}"[: 96 - len(_ENDING)].rstrip("-.") + _ENDING
    request = RoundsRequest(
        recipe=composed, rounds=rounds, settings=training, destination=options and replace(options, repo=repo or name),
        keep_going=keep_going, benchmark_data=optional_path(benchmark_data), processes=launch, quiet=progress is None,
    )  # fmt: skip
    return RoundsResult(run=folder.path, rounds=tuple(carry_out(request, folder, reporter)))


def _key(setting: str) -> str:
    return setting.partition("=")[0].strip()
