"""The recipe: every setting of a run, as one frozen tree that is read from YAML. YAML is data only.

The settings of a room are defined in that room (an engine's in its module, those of the instructions in
`plum_hub.instructions`), and gathered here. A run folder keeps a sealed recipe: defaults are filled in and revisions
pinned.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, Literal, Self, TypeAlias, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from plum_hub.engines import EngineConfig, parse_engine
from plum_hub.engines.base import EngineSettings
from plum_hub.errors import EngineError, RecipeError
from plum_hub.execution.base import SandboxName
from plum_hub.instructions.sources import InstructionsConfig, paper_settings, same_files, source_path
from plum_hub.layers import flat, mapping, merged, setting_tree, unknown_key
from plum_hub.refusal import SettingsModel, first_refusal
from plum_hub.release.lineage import published_name
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.static import DROP_CODES, known_codes


class SuitesConfig(SettingsModel):
    """How test suites are made (paper, section 3, "Generating high-quality test cases")."""

    source: str = "generate"
    """`generate`; `rows`: the tests that the rows of the instructions' source have; or `REPO@TAG`: the test suites of a
    published dataset."""
    column: str | None = None
    """With `rows`: the column that has the tests. Recognised by its name if not set."""
    revision: str | None = None
    """Commit of that tag. Filled in when a run begins."""
    hub: str = "auto"
    """Hub of that dataset, as `--hub` takes it. `auto` also tries the public Hub if the embedded one does not have it.
    A release says `auto` for a Hub's address."""
    responses: int | None = Field(default=None, ge=1)
    """Answers of the generator for each instruction; the paper's number for the source if not set (3; Evol-Instruct 6).
    """
    min_cases: int = Field(default=3, ge=1)
    """Fewest distinct cases of a generated suite; suites with fewer are left out."""
    max_cases: int = Field(default=5, ge=1)
    """Most cases of a generated suite; further ones are cut off."""
    roles: bool = False
    """Whether the generator is asked for cases with distinct roles (typical, edge, large, and invalid input where the
    task has a rule for it), and each case's role is kept. By default the prompt asks for plain cases."""
    structured: Literal["auto"] | bool = False
    """Whether the generator answers with JSON whose schema its engine enforces: `vllm`, and `openai` if the server
    takes `response_format`. Its cases have roles. `auto` if the engine can, which is found out when a run begins; the
    run keeps what was found."""
    strength: bool = False
    """Whether to measure how strong each suite is: its mutation score, and how much of its reference it runs."""
    min_strength: float = Field(default=0.0, ge=0, le=1)
    """Least mutation score of a suite; weaker ones are left out (`weak`). Above 0, all suites are measured. The paper
    leaves none out."""
    vote: bool = False
    """Whether the self-consistent suites of an instruction are merged into one, with the cases that the reference
    solutions of more than half of them pass. By default the suite with the most cases is taken, which is the paper's
    rule. A merged suite has at most `max_cases` x `responses` cases."""
    strengthen: int = Field(default=0, ge=0)
    """Most cases that are added to a suite, besides `max_cases`: variations of its calls on which all comparable
    references agree, and which fail a mutant of the reference that the suite lets pass. 0 adds none, which is the
    paper's rule. Suites of a published dataset stay as they are."""
    strengthen_by: Literal["mutants", "samples", "inputs"] = "mutants"
    """`mutants`: as above. `samples`: then variations that tell samples apart which have passed the same cases; only
    for a published dataset, which has samples (`plum-hub strengthen --by samples`). `inputs`: further variations too,
    until there are `strengthen`, since wrong samples differ from the reference in other ways than its mutants do."""
    temperature: float = Field(default=0.8, ge=0, le=10)
    """Sampling temperature; 0 is greedy."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus sampling: the share of probability that tokens are drawn from."""
    max_tokens: int = Field(default=1024, ge=16)
    """Most tokens of an answer."""
    seed: int = 0
    """Sampling seed; each request's own seed is derived from it."""

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.min_cases > self.max_cases:
            raise ValueError(f"min_cases {self.min_cases} is more than max_cases {self.max_cases}; raise max_cases")
        return self

    @model_validator(mode="after")
    def _has_samples(self) -> Self:
        if self.strengthen_by == "samples" and self.source in ("generate", "rows"):
            raise ValueError(
                "strengthen_by=samples needs samples, which a build has only after its suites; publish it, then:  "
                "plum-hub strengthen RUN --by samples"
            )
        return self


def suite_template(settings: SuitesConfig) -> str:
    """Name the prompt that asks the generator for a suite.

    Args:
        settings: The section of the recipe.

    Returns:
        The name of its file in `plum_hub/prompts`, without `.md`.
    """
    if settings.structured is True:
        return "suite_structured"
    return "suite_roles" if settings.roles else "suite"


class SamplesConfig(SettingsModel):
    """How the policy is sampled (paper, section 3, "Sampling solutions from the policy")."""

    per_instruction: int | None = Field(default=None, ge=1)
    """Samples for the instruction of each suite; the paper's number for the source if not set (20; Evol-Instruct 50).
    """
    temperature: float = Field(default=0.8, ge=0, le=10)
    """Sampling temperature; 0 is greedy."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus sampling: the share of probability that tokens are drawn from."""
    max_tokens: int = Field(default=1024, ge=16)
    """Most tokens of an answer."""
    seed: int = 0
    """Sampling seed; each request's own seed is derived from it."""
    prompt: Literal["auto", "chat", "completion", "evalplus"] = "auto"
    """`auto` uses the chat template if the model has one, and otherwise the completion prompt for base models.
    `evalplus` asks as EvalPlus does at the test (extra `eval`): the task as a docstring with the suite's first call as
    its example, or before the starter code where there is no short one, in EvalPlus' words, with an answer that is
    begun up to the code and ends with its code block. Programs are judged without what the model puts behind them to
    try them out, as at the test. It needs an engine that runs the model on this machine. The prompts of the rows are
    then text, with the chat template applied."""


class VerdictsConfig(SettingsModel):
    """Where programs run, what they may use, and what the static check may reject."""

    sandbox: SandboxName = "auto"
    """`jail` isolates with Linux namespaces; `landlock` works where those are refused, as in most containers; `docker`
    uses containers of the image `$PLUM_HUB_DOCKER_IMAGE`. `auto` takes the first that works on this machine, and the
    run keeps it."""
    numpy: bool = False
    """Whether programs may use numpy, and suites may expect its arrays. Not in docker."""
    pandas: bool = False
    """Whether programs may use pandas, and numpy with it, and suites may expect their values. Not in docker."""
    cpu_seconds: float = Field(default=5.0, gt=0, le=3600)
    """CPU time of a program over all its cases. This limit decides, because it does not depend on the machine's load.
    """
    wall_seconds: float = Field(default=60.0, gt=0, le=86_400)
    """Wall-clock time of a program: a generous second limit, for programs that sleep."""
    memory_mb: int = Field(default=1024, ge=64, le=1 << 20)
    """Address space of a program, in MiB."""
    output_kb: int = Field(default=1024, ge=1, le=1 << 20)
    """Most that a program may print, in KiB."""
    mypy_codes: tuple[str, ...] = tuple(sorted(DROP_CODES))
    """mypy's error codes that drop a sample; [] turns the check off. Why these: the decision record `mypy-codes`."""

    @field_validator("mypy_codes")
    @classmethod
    def _are_known(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        if set(codes) - DROP_CODES and (unknown := set(codes) - known_codes()):
            raise ValueError(f"mypy has no error codes {sorted(unknown)}; its documentation lists them")
        return codes


BenchmarkName: TypeAlias = Literal["humaneval", "humaneval+", "mbpp", "mbpp-sanitized", "mbpp+", "livecodebench"]


class DecontaminationConfig(SettingsModel):
    """Which benchmarks instructions and samples are compared with before a release. Matches are left out."""

    benchmarks: tuple[BenchmarkName, ...] = get_args(BenchmarkName)
    """Benchmarks to compare with, if available: HumanEval always, the others in the folder of `--benchmark-data`. []
    turns the comparison off."""
    ngram: int = Field(default=8, ge=2, le=64)
    """Consecutive words that a text and a problem's statement must share to count."""
    overlap: float = Field(default=0.5, ge=0, lt=1)
    """A text is left out if such n-grams cover a greater share of a statement's words than this, or if it is a
    statement."""


class BudgetConfig(SettingsModel):
    """How long a build may take. Rows that do not fit are left out, with the reason `over_budget`."""

    minutes: float | None = Field(default=None, gt=0)
    """Minutes for a whole build. The engine's speed is measured on its first answers, and as many instructions are
    taken as fit. If even `min_instructions` do not fit, each gets fewer samples and responses, and the build may
    take longer. No limit if not set."""
    min_instructions: int = Field(default=10, ge=1)
    """Instructions that are taken however slow the machine is."""


_PINNED = ("policy", "generator", "instructions", "suites")
"""The sections that hold a revision."""


class Recipe(SettingsModel):
    """One experiment."""

    version: Literal[1] = 1
    """Version of the recipe format."""
    policy: EngineConfig
    """The model that writes the samples, and that will be trained."""
    generator: EngineConfig
    """The model that writes the test suites; the policy if not set."""
    instructions: InstructionsConfig = InstructionsConfig()
    suites: SuitesConfig = SuitesConfig()
    samples: SamplesConfig = SamplesConfig()
    verdicts: VerdictsConfig = VerdictsConfig()
    decontamination: DecontaminationConfig = DecontaminationConfig()
    preferences: PreferencesConfig = PreferencesConfig()
    budget: BudgetConfig = BudgetConfig()

    @model_validator(mode="after")
    def _time_can_be_kept(self) -> Self:
        if self.budget.minutes is not None and (self.policy.answers_later or self.generator.answers_later):
            raise ValueError("budget.minutes cannot be kept by batches, which take up to a day; unset one of them")
        return self

    def filled(self) -> "Recipe":
        """Fill in the paper's numbers for the source where none are set.

        Returns:
            A new recipe.
        """
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
        """Fill in what this recipe leaves open from a sealed one. This is how a command finds the run it began.

        Args:
            other: The sealed recipe.

        Returns:
            A new recipe.
        """
        pins = {name: _adopted(getattr(self, name), getattr(other, name)) for name in _PINNED}
        found = {"structured": other.suites.structured} if self.suites.structured == "auto" else {}
        pins["suites"] = pins["suites"].model_copy(update={"hub": other.suites.hub, **found})
        if self.verdicts.sandbox == "auto":
            pins["verdicts"] = self.verdicts.model_copy(update={"sandbox": other.verdicts.sandbox})
        if self.samples.prompt == "auto":
            pins["samples"] = self.samples.model_copy(update={"prompt": other.samples.prompt})
        return self.model_copy(update=pins)

    def pinned(self, instructions_revision: str | None) -> "Recipe":
        """Pin every revision to a commit or content hash.

        A generator that is not asked, since the suites are there already, stays as it is: it need not be reachable.

        Args:
            instructions_revision: Revision of the instructions, or None if they have none.

        Returns:
            A new recipe.

        Raises:
            EngineError: A model is unknown or cannot be reached.
        """
        policy = generator = self.policy.pin()
        if self.generator != self.policy:
            generator = self.generator.pin() if self.suites.source == "generate" else self.generator
        return self.model_copy(
            update={
                "policy": policy,
                "generator": generator,
                "instructions": self.instructions.model_copy(update={"revision": instructions_revision}),
            }
        )

    def public(self) -> "Recipe":
        """Remove what must not be published.

        That is the path of a local folder or file, which its revision identifies, and the address of a server or Hub.

        Returns:
            A new recipe.
        """
        source = published_name(self.instructions.source, self.instructions.revision or "")
        hub = "auto" if "://" in self.suites.hub else self.suites.hub
        return self.model_copy(
            update={
                "suites": self.suites.model_copy(update={"hub": hub}),
                "policy": self.policy.public(),
                "generator": self.generator.public(),
                "instructions": self.instructions.model_copy(update={"source": source}),
            }
        )

    def moved(self, given: "Recipe") -> dict[str, str]:
        """Find the files of this recipe that another one names at other paths.

        Args:
            given: A recipe that agrees with this one (`adopting`).

        Returns:
            The path of each model and source that lies elsewhere, by its path in this recipe.
        """
        pairs = [(getattr(self, role).model, getattr(given, role).model) for role in ("policy", "generator")]
        pairs.append((source_path(self.instructions), source_path(given.instructions)))
        return {
            old: str(Path(new).expanduser().absolute())
            for old, new in pairs
            if old and new and old != new and PurePath(old).name == PurePath(new).name
        }

    def at(self, places: Mapping[str, str]) -> "Recipe":
        """Name files where they lie now, which changes no row: ids have the last part of a path only.

        Args:
            places: As `moved` returns them.

        Returns:
            A new recipe.
        """
        found = {
            role: engine.model_copy(update={"model": places.get(engine.model, engine.model)})
            for role, engine in (("policy", self.policy), ("generator", self.generator))
        }
        path, source = source_path(self.instructions), self.instructions.source
        if path in places:
            source = f"{places[path]}{source[len(path) :]}"
        return self.model_copy(
            update={**found, "instructions": self.instructions.model_copy(update={"source": source})}
        )

    def to_yaml(self) -> str:
        """Return the YAML text that a run folder keeps; `parse` reads it back to an equal recipe."""
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
        return text


def _adopted(mine: Any, other: Any) -> Any:
    """Return `mine` with what it leaves open taken from `other`.

    A folder or file that has moved but holds the same bytes counts as the same.
    """
    if isinstance(mine, EngineSettings):
        if type(mine) is not type(other):
            return mine
        if mine.model and mine.model != other.model:  # a server that serves one model need not be told which
            unchanged = (other.revision or "").startswith("sha256:") and mine.pin().revision == other.revision
            # The last part of the path is in the ids of the rows.
            named = PurePath(mine.model).name == PurePath(other.model).name or Path(other.model).expanduser().exists()
            if not unchanged or not named:
                return mine
            mine = mine.model_copy(update={"model": other.model, "revision": other.revision})
        return mine.adopting(other)
    if isinstance(mine, InstructionsConfig) and mine.source != other.source and same_files(mine, other):
        mine = mine.model_copy(update={"source": other.source, "revision": None})
    return mine.model_copy(update={"revision": other.revision}) if mine.revision is None else mine


def seal(text: str) -> str:
    """Compute the seal of a recipe, which is stored beside it to detect edits.

    Args:
        text: The YAML text.

    Returns:
        The SHA-256 in hex.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def parse(text: str, origin: str) -> Recipe:
    """Read a recipe.

    Args:
        text: The YAML text.
        origin: Where it comes from, for error messages.

    Returns:
        The recipe.

    Raises:
        RecipeError: The text is not YAML, or has an unknown key or an invalid value; the message names the key by its
            path.
    """
    return _validate(mapping(text, origin), origin)


def compose(text: str | None, origin: str, base: Mapping[str, Any], settings: Iterable[str]) -> Recipe:
    """Build a recipe from a file, a command's options and `--set KEY=VALUE`, of which later ones win.

    Args:
        text: The YAML of `--recipe`, or None.
        origin: Where `text` comes from, for error messages.
        base: The values of the command's options, as a nested mapping.
        settings: Settings such as `samples.per_instruction=10`; the values are YAML.

    Returns:
        The recipe.

    Raises:
        RecipeError: A layer is not valid, or a setting is not of the form `KEY=VALUE`.
    """
    tree = mapping(text, origin) if text is not None else {}
    for key, value in base.items():
        # An engine replaces the one in the file as a whole, whose keys another type would not know.
        tree = merged(tree, {key: value}) if key not in ("policy", "generator") else {**tree, key: value}
    for setting in settings:
        tree = merged(tree, setting_tree(setting))
    return _validate(tree, origin)


def differences(old: Recipe, new: Recipe) -> list[str]:
    """List the keys in which two recipes differ.

    Args:
        old: The first recipe.
        new: The second recipe.

    Returns:
        One entry for each key, as `samples.per_instruction: 20 -> 30`.
    """
    before, after = flat(old.model_dump(mode="json")), flat(new.model_dump(mode="json"))
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def key_paths() -> list[str]:
    """Return every recipe key, such as `samples.seed`, apart from those of the engines."""
    paths = []
    for name, field in Recipe.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            paths += [f"{name}.{key}" for key in section.model_fields]
        else:  # a plain value, or one of the engines, whose keys depend on its type
            paths.append(name)
    return paths


def engine_keys() -> dict[str, list[str]]:
    """Return the keys of each engine, by its type, that `policy.` and `generator.` take."""
    union, _ = get_args(EngineConfig)
    return {
        kind.model_fields["type"].default: [key for key in kind.model_fields if key != "type"]
        for kind in get_args(union)
    }


def _unknown_engine_key(kind: str, section: str, key: str) -> str:
    """Say that an engine has no such key, and which engines have it, or which key may be meant."""
    keys = engine_keys()
    others = [name for name, known in keys.items() if key in known]
    if not others:
        known = {f"{section}.{one}" for of in keys.values() for one in of}
        return unknown_key(f"{section}.{key}", known, "engines")
    return f"a key of {' and '.join(others)}, and the {section} is {kind}; docs/reference/engines.md lists all keys"


def _validate(tree: Mapping[str, Any], origin: str) -> Recipe:
    try:
        engines = {name: tree[name] for name in ("policy", "generator") if isinstance(tree.get(name), str)}
        tree = {**tree, **{name: parse_engine(text).model_dump(mode="json") for name, text in engines.items()}}
    except EngineError as error:
        raise RecipeError(f"{origin}: {error}") from error
    policy, generator = tree.get("policy"), tree.get("generator", {})
    if isinstance(policy, Mapping) and isinstance(generator, Mapping) and "type" not in generator:
        tree = {**tree, "generator": merged(policy, generator)}  # without a type it refines the policy's engine
    try:
        return Recipe.model_validate(tree)
    except EngineError as error:  # an engine setting whose value must not be shown
        raise RecipeError(f"{origin}: {error}") from error
    except ValidationError as error:
        refusal = first_refusal(error)
        section, *rest = refusal.path or ("recipe",)
        if section in ("policy", "generator"):
            rest = rest[1:]  # pydantic puts the engine's type between the section and the key
        where = ".".join((section, *rest))
        if refusal.is_unknown and section in ("policy", "generator"):
            problem = _unknown_engine_key(str(tree[section].get("type")), section, ".".join(rest))
        elif refusal.is_unknown:
            problem = unknown_key(where, key_paths(), "recipe")
        elif refusal.kind.startswith("union_tag"):
            problem = (
                f"its `type` must be one of {', '.join(engine_keys())}, as in  {where}: {{type: vllm, model: NAME}}"
            )
        elif refusal.kind in ("missing", "tuple_type"):
            problem = refusal.problem
        else:
            problem = f"{refusal.problem} (it is {refusal.value!r})"
        raise RecipeError(f"{origin}: {where}: {problem}") from error
