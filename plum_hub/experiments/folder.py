"""Paths within the folder of an experiment, its seal, and what may change between two starts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plum_hub import layers
from plum_hub import recipe as recipes
from plum_hub.errors import RunError
from plum_hub.experiments.recipe import Experiment, parse
from plum_hub.files import locked, write_whole, writing
from plum_hub.layers import flat
from plum_hub.recipe import Recipe
from plum_hub.release.preferences import Rejected

_EXPERIMENT, _SEAL, _LOCK = "experiment.yaml", "experiment.sha256", ".lock"
_DATA, _ONLINE = "data", "online"
_FREE = ("release.", "costs.", "keep_going")
"""Keys that may change at any time: no row, weight or score rests on them."""


class ExperimentFolder:
    """The folder of one experiment.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def data(self, rejected: Rejected | None) -> Path:
        """Return the folder of the run that a method is trained on.

        Args:
            rejected: Rule of the method; None for that of the recipe.

        Returns:
            `data`, or `data-RULE`.
        """
        return self.path / (_DATA if rejected is None else f"{_DATA}-{rejected.replace('_', '-')}")

    @property
    def online(self) -> Path:
        """Folder of rounds, with `rounds` above 1."""
        return self.path / _ONLINE

    def checkpoint(self, name: str) -> Path:
        """Return the checkpoint folder of a method.

        Args:
            name: Name of the method.

        Returns:
            `training/NAME`.
        """
        return self.path / "training" / name

    def model(self, name: str) -> Path:
        """Return the folder of a whole trained model.

        Args:
            name: Name of the model, as it will be in scores and on cards.

        Returns:
            `models/NAME`.
        """
        return self.path / "models" / name

    def evaluation(self, name: str, *, sampled: bool) -> Path:
        """Return the folder of an evaluation.

        Args:
            name: Name of the model within the experiment.
            sampled: Whether it is the second one, of several samples a problem.

        Returns:
            `evaluation/NAME`, with `-sampled` for the second one.
        """
        return self.path / "evaluation" / (f"{name}-sampled" if sampled else name)

    @property
    def results(self) -> Path:
        """The results as JSON; the same name with `.md` has them as tables."""
        return self.path / "results.json"

    def sealed(self) -> Experiment | None:
        """Read the sealed experiment.

        Returns:
            The experiment; None if none has begun here.

        Raises:
            RunError: It was edited after it was sealed.
            RecipeError: It cannot be read.
        """
        path, seal = self.path / _EXPERIMENT, self.path / _SEAL
        if not path.is_file():
            return None
        text = layers.read(path)
        if not seal.is_file() or seal.read_bytes().strip() != recipes.seal(text).encode():
            raise RunError(
                f"{path}: was edited after the experiment began, so it no longer says what made the files here: "
                "restore it, or start another with --run DIR"
            )
        return parse(text, str(path))

    def digest(self) -> str:
        """Return the SHA-256 of the sealed experiment, in hex."""
        return (self.path / _SEAL).read_text(encoding="ascii").strip()

    def check(self, experiment: Experiment) -> None:
        """Check that the folder is free, or holds this experiment. Its data section is checked by its run.

        Methods may be added, and `release`, `costs` and the number of rounds above 1 may change; all else stays as it
        was sealed.

        Args:
            experiment: The experiment that is about to start.

        Raises:
            RunError: The folder holds another experiment, whose differences the message names, or other files.
        """
        old = self.sealed()
        if old is None:
            inside = {entry.name for entry in self.path.iterdir()} if self.path.is_dir() else set()
            unknown = {name for name in inside if not name.endswith(".new")} - {_LOCK, _DATA, _ONLINE, _SEAL}
            if unknown or (self.path.exists() and not self.path.is_dir()):
                raise RunError(f"{self.path}: is not the folder of an experiment; name another with --run DIR")
            return
        changes = [*_changes(old, experiment)]
        if changes:
            raise RunError(
                f"{self.path}: holds an experiment with other keys ({'; '.join(changes[:4])}); continue with its keys, "
                "or name another folder with --run DIR"
            )

    def seal(self, experiment: Experiment, data: Recipe) -> None:
        """Write the experiment and its seal.

        Args:
            experiment: The experiment, checked.
            data: Its data section with every revision pinned.
        """
        text = experiment.model_copy(update={"data": data}).to_yaml()
        write_whole(self.path / _EXPERIMENT, text)
        write_whole(self.path / _SEAL, recipes.seal(text) + "\n")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder for the time of the block.

        Yields:
            Nothing.

        Raises:
            RunError: Another process works here, or the folder cannot be written.
        """
        busy = RunError(f"{self.path}: another plum-hub process works on this experiment; wait for it")
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / _LOCK).touch()
        with locked(self.path / _LOCK, lambda: busy):
            yield


def _changes(old: Experiment, new: Experiment) -> Iterator[str]:
    """Yield every key that must not differ and does."""
    methods = {one.name: one for one in new.training.methods}
    for one in old.training.methods:
        if methods.get(one.name) != one:
            yield f"training.methods: {one.name} was {one.model_dump(mode='json', exclude={'name'})}"
    rested = {"data", "rounds"} if min(old.rounds, new.rounds) > 1 else {"data"}  # one round has folders of its own
    before, after = (flat(one.model_dump(mode="json", exclude=rested)) for one in (old, new))
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key) and not key.startswith(_FREE) and key != "training.methods":
            yield f"{key}: {before.get(key)} -> {after.get(key)}"
