"""The recipe of an experiment: data, training, evaluation and release, as one frozen tree that is read from YAML."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Literal, Self, TypeAlias, get_args

import yaml
from pydantic import BaseModel, Field, JsonValue, ValidationError, field_validator, model_validator

from plum_hub import layers
from plum_hub import recipe as recipes
from plum_hub.engines import parse_engine
from plum_hub.engines.base import LocalSettings
from plum_hub.errors import RecipeError, UsageError
from plum_hub.experiments import shipped
from plum_hub.layers import merged, setting_tree, unknown_key
from plum_hub.publishing.model_checkpoint import WeightsChoice
from plum_hub.recipe import BenchmarkName, Recipe
from plum_hub.refusal import SettingsModel, first_refusal
from plum_hub.release.preferences import Rejected
from plum_hub.release.schemas import Method
from plum_hub.training.settings import TrainingSettings

ExperimentPhase: TypeAlias = Literal["data", "training", "evaluation", "release"]
"""A part of an experiment, after which it can end."""
BASE = "base"
"""Name of the untrained policy among the models of an experiment."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_DATA_SECTIONS = frozenset(Recipe.model_fields) - {"version"}
_ENGINES = ("policy", "generator")


class MethodConfig(SettingsModel):
    """One training of an experiment. In YAML `kto` is short for `{method: kto}`."""

    name: str = ""
    """Name of the trained model within the experiment. Default: the method, with the rule if one is given, as
    `kto-non-executable`."""
    method: Method = "kto"
    """`kto`, `dpo` or `sft`."""
    rejected: Rejected | None = None
    """Which samples are rejected, as `data.preferences.rejected`, whose value is the default. Another rule is another
    view of the same verdicts: nothing is sampled or judged again."""
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    """Training keys of this method alone, on top of `training.settings`."""

    @model_validator(mode="before")
    @classmethod
    def _read_short_form(cls, value: Any) -> Any:
        tree = {"method": value} if isinstance(value, str) else value
        if not isinstance(tree, dict) or tree.get("name"):
            return tree
        rule = tree.get("rejected")
        name = "-".join(str(part).replace("_", "-") for part in (tree.get("method", "kto"), rule) if part)
        return {**tree, "name": name}

    @field_validator("name")
    @classmethod
    def _is_a_folder(cls, name: str) -> str:
        if name == BASE or name.endswith("-sampled") or not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a model here: take lower-case letters, digits and -, not `{BASE}`")
        return name


class TrainingPlan(SettingsModel):
    """What is trained on the data: every method on the same samples and verdicts, each from the policy itself."""

    methods: tuple[MethodConfig, ...] = Field(default=(MethodConfig(name="kto"),), min_length=1)
    """The trainings, in order."""
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    """Training keys of all methods, as `epochs` or `learning_rate`."""

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        names = [one.name for one in self.methods]
        if len({*names}) < len(names):
            raise ValueError(f"two methods have one name ({', '.join(names)}); give one of them another `name`")
        for one in self.methods:
            self.settings_of(one)
        return self

    def settings_of(self, method: MethodConfig) -> TrainingSettings:
        """Compose the training keys of a method.

        Args:
            method: One of the methods.

        Returns:
            The settings. Adapters are always merged, since engines open whole models.

        Raises:
            ValueError: A key is unknown, or a value is not allowed.
        """
        tree = {**self.settings, **method.settings, "method": method.method, "merge": True}
        try:
            return TrainingSettings.model_validate(tree)
        except ValidationError as error:
            refusal = first_refusal(error)
            unknown = unknown_key(refusal.key, TrainingSettings.model_fields, "training")
            problem = unknown if refusal.is_unknown else refusal.problem
            raise ValueError(f"{method.name}: {refusal.key}: {problem}") from error


class SampledEvaluation(SettingsModel):
    """A second evaluation of each model, with several samples of each problem."""

    n: int = Field(default=10, ge=2)
    """Samples of each problem."""
    temperature: float = Field(default=0.2, gt=0, le=10)
    """Sampling temperature."""


class EvaluationPlan(SettingsModel):
    """How the policy and each trained model are evaluated; all are asked in the same way."""

    benchmarks: tuple[BenchmarkName, ...] = ("humaneval+", "mbpp+")
    """Benchmarks; the `+` ones give the scores of HumanEval and MBPP too. [] evaluates nothing."""
    protocol: str | None = None
    """Whose rules decide how problems are asked, as `evaluate --protocol` takes it. Default: that command's."""
    prompt: Literal["auto", "chat", "prefilled", "completion"] = "auto"
    """Prompt style, as in `evaluate`."""
    n: int = Field(default=1, ge=1)
    """Samples of each problem."""
    temperature: float | None = Field(default=None, ge=0, le=10)
    """Sampling temperature. Default: 0 (greedy) for one sample, 0.8 for more."""
    max_tokens: int | None = Field(default=None, ge=16)
    """Most tokens of an answer. Default: 768; LiveCodeBench 2000."""
    since: str = ""
    """LiveCodeBench: first date of the problems, as 2024-08-01."""
    until: str = ""
    """LiveCodeBench: last date of the problems, inclusive."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first so many problems of each benchmark."""
    sampled: SampledEvaluation | None = None
    """A second evaluation beside this one, with several samples a problem: it shows smaller gains."""

    @field_validator("since", "until", mode="before")
    @classmethod
    def _read_date(cls, value: object) -> object:
        """Accept a date, which is what YAML reads in 2024-08-01, or the text of one."""
        text = value.isoformat() if isinstance(value, date) else value
        try:
            if isinstance(text, str) and text and date.fromisoformat(text).isoformat() != text:
                raise ValueError
        except ValueError:
            raise ValueError(f"{text!r}: write a date as 2024-08-01") from None
        return text


class ReleasePlan(SettingsModel):
    """Where dataset and models are published; `--hub none` publishes nothing."""

    dataset: str | None = None
    """Repository of the dataset, NAME or NAMESPACE/NAME. Default: `plum-INSTRUCTIONS-MODEL`. That of another rule has
    the rule's name at its end."""
    model: str | None = None
    """Repository of the models; `{name}` stands for the name of the method. Default: `MODEL-plum-{name}`."""
    weights: WeightsChoice | None = None
    """`adapter` or `merged`, of LoRA trainings. Default: `adapter`."""


class CostsConfig(SettingsModel):
    """What the estimate of `--dry-run` rests on. These keys change nothing else."""

    parameters: float | None = Field(default=None, gt=0)
    """Parameters of the policy, in billions. Default: read from its name, as 7 from `starcoder2-7b`."""
    tokens_per_second: float | None = Field(default=None, gt=0)
    """Tokens that the policy writes in a second. Default: what was measured on this machine, else 35,000 divided by the
    billions of parameters, at most 20,000: between reports of a 7B on an A100 (3,400) and an 8B on an H100 (12,500).
    """
    teraflops: float = Field(default=300.0, gt=0)
    """Useful 10^12 operations a second in training, of all GPUs together: 300 is 30 % of an H100's dense bf16. Small
    models reach much less."""
    gpus: int = Field(default=1, ge=1)
    """GPUs that are paid for at a time."""
    usd_per_gpu_hour: float | None = Field(default=None, ge=0)
    """Price of a GPU for an hour, in US dollars. Default: unknown, so that only the tokens of servers are priced."""


class Experiment(SettingsModel):
    """One experiment. Its data section is a recipe as `build-dataset` takes it."""

    version: Literal[1] = 1
    """Version of the format."""
    data: Recipe
    """The dataset: policy, generator, instructions, suites, samples, preferences, ... ([recipe keys](recipe.md))."""
    training: TrainingPlan = TrainingPlan()
    evaluation: EvaluationPlan = EvaluationPlan()
    release: ReleasePlan = ReleasePlan()
    rounds: int = Field(default=1, ge=1)
    """Above 1: after each training the trained model samples again and is trained on its own answers. Each round is
    measured on held-out instructions, and on the benchmarks like every model."""
    held_out: float = Field(default=0.2, gt=0, lt=1)
    """With `rounds` above 1: share of the instructions that is never trained on."""
    keep_going: bool = True
    """With `rounds` above 1: whether to continue after a round without a significant gain on held-out instructions."""
    costs: CostsConfig = CostsConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        methods = self.training.methods
        if self.rounds > 1 and (len(methods) > 1 or methods[0].rejected is not None):
            raise ValueError("rounds above 1 take one method, with the rule of data.preferences; name one in methods")
        if self.release.model is not None and len(methods) > 1 and "{name}" not in self.release.model:
            raise ValueError("release.model names one repository for several methods; put {name} into it")
        return self

    def phases(self, until: ExperimentPhase) -> tuple[ExperimentPhase, ...]:
        """List the parts up to one of them.

        Args:
            until: The last part to run.

        Returns:
            The parts, in order.

        Raises:
            UsageError: The policy cannot be trained here, or there is no such part.
        """
        policy = self.data.policy
        if until != "data" and not isinstance(policy, LocalSettings):
            raise UsageError(
                f"{policy.type}:{policy.model} cannot be trained here: name a model with --model MODEL, or end with "
                "--until data"
            )
        if until == "data" and self.rounds > 1:
            raise UsageError(
                f"--until data: with {self.rounds} rounds each model writes its data between two trainings, so that "
                "there is no such part: end with --until training"
            )
        parts: tuple[ExperimentPhase, ...] = get_args(ExperimentPhase)
        return parts[: parts.index(until) + 1]

    def rounds_recipe(self) -> Recipe:
        """Return the recipe of the run of all test suites, with `rounds` above 1."""
        part = {"held_out": self.held_out, "part": "all"}
        return self.data.model_copy(update={"instructions": self.data.instructions.model_copy(update=part)})

    def to_yaml(self) -> str:
        """Return the YAML text that the folder of the experiment keeps."""
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
        return text


def compose(text: str, origin: str, options: Mapping[str, Any], settings: Iterable[str] = ()) -> Experiment:
    """Build an experiment from YAML, a command's options and `--set KEY=VALUE`, of which later ones win.

    Args:
        text: The YAML. `extends: NAME` at its top takes over a shipped experiment, whose keys it replaces or adds to.
        origin: Where it comes from, for error messages.
        options: The values of the command's options, as a nested mapping; an engine may be in its short form.
        settings: Settings such as `training.methods=[sft,kto]`. Keys of the data section may leave `data.` out, and
            training keys `training.settings.`.

    Returns:
        The experiment.

    Raises:
        RecipeError: A layer is not valid; the message names the key by its path.
    """
    tree = layers.mapping(text, origin)
    if (parent := tree.pop("extends", None)) is not None:
        tree = _layered(_parent(str(parent), origin), tree)
    tree = _layered(tree, options)
    data_settings: list[str] = []
    for setting in settings:
        path = _path(setting)
        if path.startswith("data."):
            data_settings.append(path.removeprefix("data."))
        else:
            tree = merged(tree, setting_tree(path))
    data = tree.get("data", {})
    if not isinstance(data, Mapping):
        raise RecipeError(f"{origin}: data: is a mapping of recipe keys, such as `policy:`; correct the file")
    return _validate({**tree, "data": _data(data, origin, data_settings)}, origin)


def parse(text: str, origin: str) -> Experiment:
    """Read a sealed experiment.

    Args:
        text: The YAML text.
        origin: Where it comes from, for error messages.

    Returns:
        The experiment.

    Raises:
        RecipeError: As `compose`.
    """
    return compose(text, origin, {})


def _parent(name: str, origin: str) -> dict[str, Any]:
    """Return the experiment that another one extends."""
    text = shipped.text(name)
    if text is None:
        raise RecipeError(f"{origin}: extends: there is no shipped experiment {name}; plum-hub run --list shows them")
    tree = layers.mapping(text, name)
    if "extends" in tree:
        raise RecipeError(f"{origin}: extends: {name} extends another experiment itself; extend {tree['extends']}")
    return tree


def _layered(tree: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Merge, except that an engine replaces the one before it as a whole, whose keys another type would not know, and
    that another source of instructions does not inherit the revision of the one before."""
    data, above = tree.get("data"), override.get("data")
    if isinstance(data, Mapping) and isinstance(above, Mapping):
        kept = {key: value for key, value in data.items() if not (key in _ENGINES and key in above)}
        instructions = above.get("instructions")
        if isinstance(instructions, Mapping) and "source" in instructions:
            kept["instructions"] = _unpinned(kept.get("instructions", {}))
        tree = {**tree, "data": kept}
    return merged(tree, override)


def _unpinned(instructions: Any) -> Any:
    """Remove the revision of a source that another one replaces."""
    if not isinstance(instructions, Mapping):
        return instructions
    return {key: value for key, value in instructions.items() if key != "revision"}


def _path(setting: str) -> str:
    """Complete the key of a setting whose section is left out."""
    key = setting.partition("=")[0].strip()
    head = key.partition(".")[0]
    if head in _DATA_SECTIONS:
        return f"data.{setting}"
    if head in Experiment.model_fields:
        return setting
    if key in TrainingSettings.model_fields and key != "method":
        return f"training.settings.{setting}"
    raise RecipeError(
        f"--set {key}: no such key; docs/reference/recipe.md, training.md and experiment.md of the documentation list "
        "the keys of data, training and everything else"
    )


def _data(tree: Mapping[str, Any], origin: str, settings: list[str]) -> Recipe:
    """Compose the data section."""
    base: dict[str, Any] = {}
    rest = []
    for setting in settings:
        key, _, value = setting.partition("=")
        if key.strip() in _ENGINES:
            base[key.strip()] = value
        else:
            rest.append(setting)
    engines = {
        name: parse_engine(value).model_dump(mode="json")
        for name, value in {**{name: tree.get(name) for name in _ENGINES}, **base}.items()
        if isinstance(value, str)
    }
    others = {key: value for key, value in tree.items() if key not in engines}
    if any(setting.partition("=")[0].strip() == "instructions.source" for setting in rest):
        others["instructions"] = _unpinned(others.get("instructions", {}))
    return recipes.compose(yaml.safe_dump(others), f"{origin}: data", engines, rest)


def _keys() -> list[str]:
    """Return the keys of an experiment, with those of its sections but the data's."""
    sections = {name: field.annotation for name, field in Experiment.model_fields.items() if name != "data"}
    kinds = {name: kind for name, kind in sections.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}
    return [*Experiment.model_fields, *(f"{name}.{key}" for name, kind in kinds.items() for key in kind.model_fields)]


def _validate(tree: Mapping[str, Any], origin: str) -> Experiment:
    try:
        return Experiment.model_validate(tree)
    except ValidationError as error:
        refusal = first_refusal(error)
        where = refusal.key or "experiment"
        problem = unknown_key(where, _keys(), "experiment") if refusal.is_unknown else refusal.problem
        raise RecipeError(f"{origin}: {where}: {problem}") from error
