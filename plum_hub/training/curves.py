"""The curves of a training from its `metrics.jsonl`: as points, and plotted as PNG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from plum_hub.errors import TrainingError
from plum_hub.files import writing
from plum_hub.lines import object_of, whole_lines

_GREEN, _RED, _BLUE = "#2e7d32", "#c62828", "#1565c0"  # as in a dataset's figures: chosen is green, rejected red
_INCHES, _DOTS = (6.4, 3.2), 150
_MANY = 20
"""Number of steps above which the raw line is faint, and a moving average over a tenth of the steps is drawn on it."""

_LARGEST = 1e300


@dataclass(frozen=True)
class _Picture:
    name: str
    title: str
    unit: str
    lines: Mapping[str, tuple[str, str]]
    """Metrics to draw, each with its legend and colour."""


_PICTURES = (
    _Picture("loss", "Loss", "loss", {"loss": ("loss", _BLUE)}),
    _Picture(
        "rewards",
        "Implicit rewards",
        "beta × log-ratio to the reference",
        {"rewards/chosen": ("chosen", _GREEN), "rewards/rejected": ("rejected", _RED)},
    ),
    _Picture("margins", "Reward margin", "chosen minus rejected", {"rewards/margins": ("margin", _BLUE)}),
    _Picture(
        "logps",
        "Log-probability of an answer",
        "nats, mean over the batch",
        {"logps/chosen": ("chosen", _GREEN), "logps/rejected": ("rejected", _RED)},
    ),
    _Picture("kl", "KL estimate to the reference", "nats", {"kl": ("KL", _BLUE)}),
)
_SFT = (
    _PICTURES[0],
    _Picture(
        "accuracy", "Tokens predicted right", "share of the answer's tokens", {"mean_token_accuracy": ("share", _BLUE)}
    ),
)


@dataclass(frozen=True)
class CurveLine:
    """One metric of a training, step by step."""

    name: str
    """Its legend."""
    colour: str
    steps: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def drawn(self) -> tuple[float, ...]:
        """The values, those beyond 1e300 as 1e300: the difference of any two is a number."""
        return tuple(max(-_LARGEST, min(_LARGEST, value)) for value in self.values)


@dataclass(frozen=True)
class Curve:
    """One picture of a training."""

    name: str
    """A word, as for a file name."""
    title: str
    unit: str
    lines: tuple[CurveLine, ...]


def read_curves(metrics: Path) -> list[Curve]:
    """Read the curves of a training; metrics that were not logged have none.

    Args:
        metrics: File `metrics.jsonl` of the training. A missing file has no curves.

    Returns:
        The curves, in the order to show them; none where no step was taken.

    Raises:
        TrainingError: A line of `metrics` is invalid.
    """
    rows = [_numbers(metrics, number, line) for number, line in whole_lines(metrics)]
    labelled = any("rewards/margins" in row for row in rows)
    found = (
        Curve(picture.name, picture.title, picture.unit, _lines(picture, rows))
        for picture in (_PICTURES if labelled else _SFT)
    )
    return [curve for curve in found if curve.lines]


def draw(metrics: Path, folder: Path) -> list[Path]:
    """Draw the curves of a training. The same metrics give the same bytes; metrics that were not logged are not drawn.

    Args:
        metrics: File `metrics.jsonl` of the training.
        folder: Folder for the pictures, created if missing.

    Returns:
        The pictures, in the order to show them; none where no step was taken.

    Raises:
        TrainingError: A line of `metrics` is invalid.
        RunError: A picture cannot be written.
    """
    curves = read_curves(metrics)
    drawn = []
    with writing(folder):
        for curve in curves:
            folder.mkdir(parents=True, exist_ok=True)
            drawn.append(folder / f"{curve.name}.png")
            _draw(curve, drawn[-1])
    return drawn


def _numbers(metrics: Path, number: int, line: bytes) -> dict[str, float]:
    """Parse the numbers of a line of metrics."""
    try:
        row = {key: value for key, value in object_of(line).items() if isinstance(value, int | float)}
        for value in row.values():
            isfinite(value)  # raises for an integer beyond the range of a float
        if not isinstance(row["step"], int):
            raise ValueError("its step is not an integer")
        return row
    except (ValueError, KeyError, OverflowError) as error:
        raise TrainingError(
            f"{metrics}:{number}: not a line of metrics ({type(error).__name__}: {error}); restore the training's "
            "metrics.jsonl"
        ) from error


def _lines(picture: _Picture, rows: Sequence[Mapping[str, float]]) -> tuple[CurveLine, ...]:
    """Return steps and values of each metric; a batch with one label has no metrics of the other."""
    lines = []
    for key, (name, colour) in picture.lines.items():
        points = [(row["step"], row[key]) for row in rows if isfinite(row.get(key, float("nan")))]
        if points:
            steps, values = zip(*points, strict=True)
            lines.append(CurveLine(name, colour, steps, values))
    return tuple(lines)


def _draw(curve: Curve, path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=_INCHES, dpi=_DOTS, layout="constrained")
    axes = figure.add_subplot()
    for line in curve.lines:
        many = len(line.steps) > _MANY
        marker = "" if many else "o"
        label = None if many else line.name
        axes.plot(line.steps, line.drawn, color=line.colour, alpha=0.3 if many else 1, marker=marker, label=label)
        if many:
            axes.plot(line.steps, smooth(line.drawn), color=line.colour, linewidth=2, label=line.name)
    axes.set(title=curve.title, xlabel="step" + (" (thick: mean of the last tenth)" if many else ""), ylabel=curve.unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    if len(curve.lines) > 1:
        axes.legend(frameon=False)
    figure.savefig(path, metadata={"Software": None})


def smooth(values: Sequence[float]) -> list[float]:
    """Smooth a curve.

    Args:
        values: One value per step.

    Returns:
        At each step, the mean over the last tenth of all steps.
    """
    window = max(2, len(values) // 10)
    means = []
    for end in range(1, len(values) + 1):
        last = values[max(0, end - window) : end]
        means.append(sum(last) / len(last))
    return means
