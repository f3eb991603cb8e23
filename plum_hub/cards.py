"""Facts and a template make a card. A fact that is missing is an error, never a blank (Jinja's StrictUndefined)."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml

from plum_hub.release.licences import Inherited, inherited
from plum_hub.release.lineage import Lineage, hub_id
from plum_hub.release.manifest import ReleaseCounts
from plum_hub.release.model_lineage import ModelLineage
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.release.schemas import CONFIGS, Column, Config, columns

if TYPE_CHECKING:
    import jinja2

STAGES = ("instructions", "suites", "samples", "verdicts", "preferences")


@dataclass(frozen=True, kw_only=True)
class StageCount:
    """What a stage kept, and what it left out by reason. `kept` is None where nothing in the release says it."""

    stage: str
    kept: int | None
    dropped: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """All that a dataset's card says."""

    repo: str
    tag: str
    pretty_name: str
    lineage: Lineage
    counts: ReleaseCounts
    rule: PreferencesConfig
    """How verdicts became labels."""
    languages: tuple[str, ...] = ("en",)
    """Of the instructions, as ISO 639-1 codes."""

    @property
    def license(self) -> Inherited:
        """The licence of the whole."""
        return inherited(source.license for source in self.lineage.sources)

    @property
    def columns(self) -> dict[Config, tuple[Column, ...]]:
        """The columns of every config that has rows, in the order of the card."""
        present = [config for config in CONFIGS if config in self.counts.rows]
        return {config: columns(config, conversational=self.counts.conversational) for config in present}

    @property
    def stages(self) -> list[StageCount]:
        """Every stage of the run, and any other that left out a row, before the last."""
        kept = {
            "instructions": self.lineage.instructions,
            "suites": self.counts.rows.get("test_suites", 0),
            "samples": self.counts.rows.get("samples", 0),
            "verdicts": sum(self.counts.statuses.values()),
            "preferences": self.counts.rows.get("kto", 0),
        }
        others = (stage for stage in self.counts.dropped if stage not in STAGES)
        names = [*STAGES[:-1], *others, STAGES[-1]]
        return [
            StageCount(stage=name, kept=kept.get(name), dropped=dict(self.counts.dropped.get(name, {})))
            for name in names
        ]

    @property
    def generator_is_policy(self) -> bool:
        """Whether the policy wrote its own tests."""
        generator = self.lineage.generator
        return generator is not None and generator.identity == self.lineage.policy.identity


@dataclass(frozen=True, kw_only=True)
class ModelResults:
    """What was measured of a model, as its card tells it."""

    merged: bool
    """Whether the adapters were added to the base for that."""
    table: str
    """Its scores, as a Markdown table."""
    base_table: str | None
    """The base's on the same benchmarks; None where it was not measured."""
    gains: tuple[Mapping[str, Any], ...]
    """The paired comparison of the two, as `stages.evaluation.comparison.Gain`."""
    notes: tuple[str, ...]
    """What the reader of the comparison must know."""
    index: list[Any]
    """The `model-index`."""


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """All that a model's card says."""

    repo: str
    tag: str
    lineage: ModelLineage
    training: Mapping[str, Any]
    """What `training.json` says."""
    curves: tuple[str, ...]
    """Paths of the pictures."""
    results: ModelResults | None
    """None where nothing was measured."""

    @property
    def name(self) -> str:
        """The repository's, without its namespace."""
        return self.repo.rpartition("/")[2]

    @property
    def license(self) -> Inherited:
        """The licence of the weights: the strictest of the base's and the data's."""
        return inherited([self.lineage.base.license, *self.lineage.data.licenses])

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that decided what was learnt, with what `auto` came to."""
        lora, kto = self.training["decided"]["weights"] == "lora", self.lineage.method == "kto"
        hidden = {"report_to", "merge", "checkpoint_every", "memory_gb"}
        hidden |= set() if lora else {"lora_rank", "lora_alpha"}
        hidden |= {"desirable_weight", "undesirable_weight"} | (set() if kto else {"max_kl", "group_by_length"})
        hidden |= {"beta", "reference"} if self.lineage.method == "sft" else set()
        values = {**self.training["settings"], **self.training["decided"]}
        if kto:
            weights = self.training["class_weights"]
            values |= {"weight of chosen": weights["desirable"], "weight of rejected": weights["undesirable"]}
        return {key: value for key, value in values.items() if key not in hidden and value is not None}


def model_card(facts: ModelFacts) -> str:
    """The text of the model's README.md."""
    template = _environment().from_string(_template("plum_hub.model_cards", "model_card.md.jinja"))
    return template.render(facts=facts, front_matter=_model_front_matter(facts))


def _model_front_matter(facts: ModelFacts) -> str:
    lineage = facts.lineage
    adapter = lineage.form == "adapter"
    values: dict[str, Any] = {
        "license": facts.license.id,
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["code", lineage.method, "trl", "plum", "plum-hub", *(["lora"] if adapter else []), "arxiv:2406.06887"],
    }
    if lineage.base.commit:
        values["base_model"] = [lineage.base.name]
        values["base_model_relation"] = "adapter" if adapter else "finetune"
    if lineage.data.repo:
        values["datasets"] = [lineage.data.repo]
    if facts.results:
        values["model-index"] = facts.results.index
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)
    return text


def dataset_card(facts: DatasetFacts) -> str:
    """The text of the dataset's README.md."""
    template = _environment().from_string(_template("plum_hub.dataset_cards", "dataset_card.md.jinja"))
    return template.render(facts=facts, front_matter=_front_matter(facts), label_of=facts.rule.label)


def _front_matter(facts: DatasetFacts) -> str:
    """The YAML that the Hub reads, without its fences."""
    lineage = facts.lineage
    policy = lineage.policy.identity
    sources = [name for source in lineage.sources if (name := hub_id(source.name, source.revision))]
    values: dict[str, Any] = {
        "pretty_name": facts.pretty_name,
        "license": facts.license.id,
        "language": list(facts.languages),
        "task_categories": ["text-generation"],
        "size_categories": [_size_category(facts.counts.rows["kto"])],
        "tags": ["code", "preference", "on-policy", "kto", "dpo", "trl", "plum", "plum-hub", "arxiv:2406.06887"],
    }
    if sources:
        values["source_datasets"] = sources
    if base_model := hub_id(policy.model, policy.revision):
        values["base_model"] = [base_model]
    values["configs"] = [
        {
            "config_name": config,
            **({"default": True} if config == "kto" else {}),
            "data_files": [{"split": "train", "path": f"{config}/train-*.parquet"}],
        }
        for config in facts.columns
    ]
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)
    return text


def _size_category(rows: int) -> str:
    """The Hub's word for a number of rows."""
    bounds = [(10**3, "1K"), (10**4, "10K"), (10**5, "100K"), (10**6, "1M"), (10**7, "10M")]
    below = "n<1K"
    for (low, name), (_, upper) in zip(bounds, [*bounds[1:], (0, "100M")], strict=True):
        if rows >= low:
            below = f"{name}<n<{upper}"
    return below


def _template(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _environment() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["number"] = lambda value: f"{value:,}"
    environment.filters["percent"] = lambda value: f"{value:.2f} %"
    environment.filters["cell"] = lambda value: " ".join(str(value).split()).replace("|", "\\|")
    return environment
