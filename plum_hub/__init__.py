"""plum-hub: code-preference datasets and models on the Hugging Face Hub, made by the PLUM method (arXiv 2406.06887).

Every command that makes something is a function here, with the command's options as keyword arguments:

    import plum_hub

    result = plum_hub.build_dataset(model="Qwen/Qwen2.5-Coder-0.5B-Instruct", recipe="quickstart")
    trained = plum_hub.train(result.run)
    plum_hub.push_model(trained.checkpoint)
    rows = plum_hub.load(result.release.repo, "kto", result.release.tag)

`import plum_hub` imports nothing else; each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plum_hub.api.dataset import BuildResult, build_dataset, estimate_build, push_dataset
    from plum_hub.api.evaluation import estimate_evaluation, evaluate
    from plum_hub.api.experiments import ExperimentResult, estimate_experiment, list_experiments, run_experiment
    from plum_hub.api.judgement import JudgeResult, judge
    from plum_hub.api.model import PreflightResult, TrainResult, preflight, push_model, train
    from plum_hub.api.report import report
    from plum_hub.api.rounds import RoundsResult, run_rounds
    from plum_hub.api.strengthening import StrengthenResult, strengthen
    from plum_hub.api.verification import verify
    from plum_hub.api.views import ViewsResult, views
    from plum_hub.errors import PlumError
    from plum_hub.loading import load
    from plum_hub.progress import Progress
    from plum_hub.recipe import Recipe

__version__ = "0.1.0"

__all__ = [
    "BuildResult",
    "ExperimentResult",
    "JudgeResult",
    "PlumError",
    "PreflightResult",
    "Progress",
    "Recipe",
    "RoundsResult",
    "StrengthenResult",
    "TrainResult",
    "ViewsResult",
    "__version__",
    "build_dataset",
    "estimate_build",
    "estimate_evaluation",
    "estimate_experiment",
    "evaluate",
    "judge",
    "list_experiments",
    "load",
    "preflight",
    "push_dataset",
    "push_model",
    "report",
    "run_experiment",
    "run_rounds",
    "strengthen",
    "train",
    "verify",
    "views",
]

_MODULES = {
    "api.dataset": ("BuildResult", "build_dataset", "estimate_build", "push_dataset"),
    "api.evaluation": ("estimate_evaluation", "evaluate"),
    "api.experiments": ("ExperimentResult", "estimate_experiment", "list_experiments", "run_experiment"),
    "api.judgement": ("JudgeResult", "judge"),
    "api.model": ("PreflightResult", "TrainResult", "preflight", "push_model", "train"),
    "api.report": ("report",),
    "api.rounds": ("RoundsResult", "run_rounds"),
    "api.strengthening": ("StrengthenResult", "strengthen"),
    "api.verification": ("verify",),
    "api.views": ("ViewsResult", "views"),
    "errors": ("PlumError",),
    "loading": ("load",),
    "progress": ("Progress",),
    "recipe": ("Recipe",),
}
"""The module that each public name is imported from, below `plum_hub`."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    for module, names in _MODULES.items():
        if name in names:
            found = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
