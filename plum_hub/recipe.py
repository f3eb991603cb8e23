"""Every knob of a run: one frozen tree of settings, read from YAML that is data only.

The settings of a room live in it (an engine's in its file, the instructions' in `plum_hub.instructions`); this page
gathers them. What a run folder keeps is a sealed recipe: defaults filled in, revisions pinned.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from plum_hub.engines import EngineConfig
from plum_hub.engines.base import EngineSettings, in_a_line
from plum_hub.errors import EngineError, RecipeError
from plum_hub.execution.base import SandboxName
from plum_hub.instructions.sources import InstructionsConfig, paper_settings
from plum_hub.release.lineage import published_name
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.static import DROP_CODES, known_codes

NOT_YAML = (yaml.YAMLError, ValueError, RecursionError)
"""What reading YAML raises; of a date that is none, a ValueError."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SuitesConfig(_Section):
    """How test suites come to be (paper, section 3, "Generating high-quality test cases")."""

    source: str = "generate"
    """`generate`, or `REPO@TAG`: the test suites of a published dataset."""
    revision: str | None = None
    """The commit of that tag; filled in when a run begins."""
    hub: str = "auto"
    """Where that dataset is, as `--hub` takes it; `auto` also asks the public Hub when the embedded one has it not."""
    responses: int | None = Field(default=None, ge=1)
    """Answers of the generator an instruction; the paper's number for the source when not set (3; Evol-Instruct 6)."""
    min_cases: int = Field(default=3, ge=1)
    """A suite with fewer distinct cases is left out."""
    max_cases: int = Field(default=5, ge=1)
    """Cases after this many are cut off."""
    temperature: float = Field(default=0.8, ge=0, le=10, allow_inf_nan=False)
    """0 is greedy."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """The share of probability that tokens are drawn from."""
    max_tokens: int = Field(default=1024, ge=16)
    """Tokens of an answer at most."""
    seed: int = 0
    """From it and what is asked each request's own seed is made."""

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.min_cases > self.max_cases:
            raise ValueError(f"min_cases {self.min_cases} is more than max_cases {self.max_cases}; raise max_cases")
        return self


class SamplesConfig(_Section):
    """How the policy is sampled (paper, section 3, "Sampling solutions from the policy")."""

    per_instruction: int | None = Field(default=None, ge=1)
    """Samples a suite's instruction; the paper's number for the source when not set (20; Evol-Instruct 50)."""
    temperature: float = Field(default=0.8, ge=0, le=10, allow_inf_nan=False)
    """0 is greedy."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """The share of probability that tokens are drawn from."""
    max_tokens: int = Field(default=1024, ge=16)
    """Tokens of an answer at most."""
    seed: int = 0
    """From it and what is asked each request's own seed is made."""
    prompt: Literal["auto", "chat", "completion"] = "auto"
    """`auto` takes the chat template where the model has one, else the completion prompt for base models."""


class VerdictsConfig(_Section):
    """Where programs run, what one may use, and what the static check may reject."""

    sandbox: SandboxName = "auto"
    """`jail` isolates with Linux namespaces; `landlock` where those are refused, as in most containers; `docker` in
    containers of the image `$PLUM_HUB_DOCKER_IMAGE`. `auto` takes the first that can be had, and a run keeps to it."""
    numpy: bool = False
    """Whether programs may use numpy, and suites may expect its arrays; not in docker."""
    cpu_seconds: float = Field(default=5.0, gt=0, le=3600, allow_inf_nan=False)
    """CPU time of a program over all its cases; decides, because it does not depend on the machine's load."""
    wall_seconds: float = Field(default=60.0, gt=0, le=86_400, allow_inf_nan=False)
    """The generous stop behind the CPU limit, for programs that sleep."""
    memory_mb: int = Field(default=1024, ge=64, le=1 << 20)
    """Address space of a program."""
    output_kb: int = Field(default=1024, ge=1, le=1 << 20)
    """What a program may print."""
    mypy_codes: tuple[str, ...] = tuple(sorted(DROP_CODES))
    """mypy's error codes that drop a sample; [] turns the check off. ARCHITECTURE.md says why each is there."""

    @field_validator("mypy_codes")
    @classmethod
    def _are_known(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        if set(codes) - DROP_CODES and (unknown := set(codes) - known_codes()):
            raise ValueError(f"mypy has no error codes {sorted(unknown)}; its documentation lists them")
        return codes


BenchmarkName: TypeAlias = Literal["humaneval", "humaneval+", "mbpp", "mbpp-sanitized", "mbpp+", "livecodebench"]


class DecontaminationConfig(_Section):
    """What instructions and samples are held against before they are released, and left out if they are found there."""

    benchmarks: tuple[BenchmarkName, ...] = get_args(BenchmarkName)
    """Compared where they are at hand: HumanEval always, others in the folder of `--benchmark-data`. [] compares
    none."""
    ngram: int = Field(default=8, ge=2, le=64)
    """Words that a text and a problem's statement have in common in a row, to count."""
    overlap: float = Field(default=0.5, ge=0, lt=1)
    """A text is left out if it has a greater share of a statement's words in such n-grams."""


class BudgetConfig(_Section):
    """How long a build may take. What there is no time for is left out, as `over_budget`."""

    minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Minutes for a whole build: the engine's speed is measured on its first answers, and as many instructions taken as
    fit. Where even the fewest do not, there are fewer samples and responses for each, and it may take longer. Without
    limit when not set."""
    min_instructions: int = Field(default=10, ge=1)
    """Instructions that are taken however slow the machine is."""


_PINNED = ("policy", "generator", "instructions", "suites")
"""The sections that hold a revision."""


class Recipe(_Section):
    """One experiment."""

    version: Literal[1] = 1
    """Of the recipe's own form."""
    policy: EngineConfig
    """The model that writes the samples, and that will be trained."""
    generator: EngineConfig
    """The model that writes the test suites; the policy when not set."""
    instructions: InstructionsConfig = InstructionsConfig()
    suites: SuitesConfig = SuitesConfig()
    samples: SamplesConfig = SamplesConfig()
    verdicts: VerdictsConfig = VerdictsConfig()
    decontamination: DecontaminationConfig = DecontaminationConfig()
    preferences: PreferencesConfig = PreferencesConfig()
    budget: BudgetConfig = BudgetConfig()

    def filled(self) -> "Recipe":
        """The recipe with the paper's numbers for its source where none were given."""
        paper = paper_settings(self.instructions.source)
        return self.model_copy(
            update={
                "suites": self.suites.model_copy(update={"responses": self.suites.responses or paper.responses}),
                "samples": self.samples.model_copy(
                    update={"per_instruction": self.samples.per_instruction or paper.samples}
                ),
            }
        )

    def adopting(self, other: "Recipe") -> "Recipe":
        """The recipe with what it leaves open taken from a sealed one: how a command finds the run it began."""
        pins = {name: _adopted(getattr(self, name), getattr(other, name)) for name in _PINNED}
        pins["suites"] = pins["suites"].model_copy(update={"hub": other.suites.hub})
        if self.verdicts.sandbox == "auto":
            pins["verdicts"] = self.verdicts.model_copy(update={"sandbox": other.verdicts.sandbox})
        if self.samples.prompt == "auto":
            pins["samples"] = self.samples.model_copy(update={"prompt": other.samples.prompt})
        return self.model_copy(update=pins)

    def pinned(self, instructions_revision: str | None) -> "Recipe":
        """The recipe with every revision fixed to a commit or content hash.

        Raises:
            EngineError: a model is unknown or cannot be reached.
        """
        policy = self.policy.pin()
        return self.model_copy(
            update={
                "policy": policy,
                "generator": policy if self.generator == self.policy else self.generator.pin(),
                "instructions": self.instructions.model_copy(update={"revision": instructions_revision}),
            }
        )

    def public(self) -> "Recipe":
        """The recipe as it is published: a folder or file of this machine goes by its name alone, since its revision
        says what it is, and where a server is stays private."""
        source = published_name(self.instructions.source, self.instructions.revision or "")
        return self.model_copy(
            update={
                "policy": self.policy.public(),
                "generator": self.generator.public(),
                "instructions": self.instructions.model_copy(update={"source": source}),
            }
        )

    def to_yaml(self) -> str:
        """The text that a run folder keeps and that `parse` reads back to an equal recipe."""
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
        return text


def _adopted(mine: Any, other: Any) -> Any:
    """`mine`, what it leaves open taken from `other`; and a folder or file that lies elsewhere by now, but holds the
    very same bytes, is the same."""
    if isinstance(mine, EngineSettings):
        if type(mine) is not type(other):
            return mine
        if mine.model != other.model:
            same = (other.revision or "").startswith("sha256:") and mine.pin().revision == other.revision
            if not same:
                return mine
            mine = mine.model_copy(update={"model": other.model, "revision": other.revision})
        return mine.adopting(other)
    return mine.model_copy(update={"revision": other.revision}) if mine.revision is None else mine


def seal(text: str) -> str:
    """The SHA-256 of a recipe's text, kept beside it, so that an edit is noticed."""
    return hashlib.sha256(text.encode()).hexdigest()


def parse(text: str, origin: str) -> Recipe:
    """Read a recipe.

    Args:
        text: YAML.
        origin: where it comes from, for messages.

    Raises:
        RecipeError: not YAML, an unknown key, or a value that is not allowed; names the key by its path.
    """
    return _validate(_mapping(text, origin), origin)


def compose(text: str | None, origin: str, base: Mapping[str, Any], settings: Iterable[str]) -> Recipe:
    """A recipe from up to three layers, the later winning: a file, the command's own options, `--set KEY=VALUE`.

    Args:
        text: the YAML of `--recipe`, or None.
        origin: where `text` comes from, for messages.
        base: what the command's options say, as a nested mapping.
        settings: `samples.per_instruction=10` and the like; the value is YAML.

    Raises:
        RecipeError: as `parse`; or a setting that is not `KEY=VALUE`.
    """
    tree = _mapping(text, origin) if text is not None else {}
    for key, value in base.items():
        # An engine is named as a whole: keys of the one in the file would be unknown to another type.
        tree = _merged(tree, {key: value}) if key not in ("policy", "generator") else {**tree, key: value}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise RecipeError(f"--set {setting!r:.200}: write it as KEY=VALUE, as in  --set samples.per_instruction=10")
        try:
            leaf: object = yaml.safe_load(value)
        except NOT_YAML as error:
            raise RecipeError(f"--set {setting!r:.200}: the value is not YAML ({in_a_line(error)})") from error
        for part in reversed(key.strip().split(".")):
            leaf = {part: leaf}
        assert isinstance(leaf, dict)
        tree = _merged(tree, leaf)
    return _validate(tree, origin)


def sections(text: str, origin: str) -> set[str]:
    """The top-level keys that a recipe's text sets.

    Raises:
        RecipeError: not YAML, or no mapping.
    """
    return set(_mapping(text, origin))


def read(path: Path) -> str:
    """The text of a recipe file.

    Raises:
        RecipeError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"{path}: cannot be read as UTF-8 text ({error}); name a recipe with --recipe FILE"
        ) from error


def differences(old: Recipe, new: Recipe) -> list[str]:
    """The keys in which two recipes differ, each as `samples.per_instruction: 20 -> 30`."""
    before, after = _flat(old.model_dump(mode="json")), _flat(new.model_dump(mode="json"))
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def key_paths() -> list[str]:
    """Every key outside the engines' own, as `samples.seed`; the README lists them and a test compares."""
    sections = ("instructions", "suites", "samples", "verdicts", "decontamination", "preferences", "budget")
    found = ["version", "policy", "generator"]
    for name in sections:
        section = Recipe.model_fields[name].annotation
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        found += [f"{name}.{key}" for key in section.model_fields]
    return found


def engine_keys() -> dict[str, list[str]]:
    """The keys of each engine, by its type: what `policy.` and `generator.` take."""
    union, _ = get_args(EngineConfig)
    return {
        kind.model_fields["type"].default: [key for key in kind.model_fields if key != "type"]
        for kind in get_args(union)
    }


def _mapping(text: str, origin: str) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(text)
    except NOT_YAML as error:
        raise RecipeError(f"{origin}: not YAML ({in_a_line(error)}); mend the file") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{origin}: a recipe is a mapping of keys, as `samples:`; mend the file")
    return tree


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        result[key] = _merged(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return result


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _validate(tree: Mapping[str, Any], origin: str) -> Recipe:
    policy, generator = tree.get("policy"), tree.get("generator", {})
    if isinstance(policy, Mapping) and isinstance(generator, Mapping) and "type" not in generator:
        tree = {**tree, "generator": _merged(policy, generator)}  # no other engine is named: it is the policy's
    try:
        return Recipe.model_validate(tree)
    except EngineError as error:  # a setting of an engine that must not even be shown
        raise RecipeError(f"{origin}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        section, *rest = first["loc"] or ("recipe",)
        if section in ("policy", "generator"):
            rest = rest[1:]  # pydantic puts the engine's type between the section and the key
        where = ".".join(map(str, (section, *rest)))
        if first["type"] == "extra_forbidden":
            problem = "no such key; README.md, chapter Recipe, lists them"
        elif first["type"] == "missing":
            problem = "this key is needed"
        else:
            problem = f"{first['msg']} (it is {first.get('input')!r})"
        raise RecipeError(f"{origin}: {where}: {problem}") from error
