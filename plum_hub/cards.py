"""Dataset and model cards, rendered from facts. A missing fact is an error, never a blank (Jinja's StrictUndefined)."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml

from plum_hub.release.licences import InheritedLicence, inherited
from plum_hub.release.lineage import Lineage, hub_id
from plum_hub.release.manifest import ReleaseCounts
from plum_hub.release.model_lineage import ModelLineage
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.release.schemas import CONFIGS, Column, Config, columns

if TYPE_CHECKING:
    import jinja2

_STAGES = ("instructions", "suites", "samples", "verdicts", "preferences")


@dataclass(frozen=True, kw_only=True)
class StageCount:
    """How many rows a stage kept and left out."""

    stage: str
    kept: int | None
    """None if the release does not tell."""
    dropped: dict[str, int]
    """Rows that were left out, by reason."""


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """Everything that a dataset's card states."""

    repo: str
    """`NAMESPACE/NAME`."""
    tag: str
    """The version that the card is for."""
    pretty_name: str
    """The title."""
    lineage: Lineage
    counts: ReleaseCounts
    rule: PreferencesConfig
    """The rule by which verdicts became labels."""
    mypy: bool = True
    """Whether mypy's findings decided verdicts."""

    @property
    def rule_changes(self) -> dict[str, object]:
        """The keys of the rule that are not the default, with their values."""
        return self.rule.model_dump(exclude_defaults=True)

    @property
    def license(self) -> InheritedLicence:
        """The licence of the dataset: the strictest of its sources'."""
        return inherited(source.license for source in self.lineage.sources)

    @property
    def columns(self) -> dict[Config, tuple[Column, ...]]:
        """Columns of every config that has rows, in the order of the card."""
        present = [config for config in CONFIGS if config in self.counts.rows]
        chat, evidence = self.counts.conversational, self.counts.evidence
        return {config: columns(config, conversational=chat, evidence=evidence) for config in present}

    @property
    def stages(self) -> list[StageCount]:
        """Every stage of the run; other stages that left out rows come before the last."""
        kept = {
            "instructions": self.lineage.instructions,
            "suites": self.counts.rows.get("test_suites", 0),
            "samples": self.counts.rows.get("samples", 0),
            "verdicts": sum(self.counts.statuses.values()),
            "preferences": self.counts.rows.get("kto", 0),
        }
        others = (stage for stage in self.counts.dropped if stage not in _STAGES)
        names = [*_STAGES[:-1], *others, _STAGES[-1]]
        return [
            StageCount(stage=name, kept=kept.get(name), dropped=dict(self.counts.dropped.get(name, {})))
            for name in names
        ]

    @property
    def generator_is_policy(self) -> bool:
        """Whether the policy wrote its own tests."""
        wrote = [
            author and (author.name, author.identity.revision)
            for author in (self.lineage.generator, self.lineage.policy)
        ]
        return wrote[0] == wrote[1]

    @property
    def source_release(self) -> str | None:
        """The release that the suites were taken from, if any."""
        source = self.lineage.suites_from
        return None if source in (None, "rows") else source

    @property
    def is_later_version(self) -> bool:
        """Whether the suites are those of an earlier version of the same dataset."""
        return (self.source_release or "").partition("@")[0] == self.repo


@dataclass(frozen=True, kw_only=True)
class ModelResults:
    """The evaluation of a model, for its card."""

    merged: bool
    """Whether the adapters were merged into the base for it."""
    table: str
    """Scores of the model, as a Markdown table."""
    base_table: str | None
    """Scores of the base on the same benchmarks; None if it was not evaluated."""
    gains: tuple[Mapping[str, Any], ...]
    """Paired comparisons of the two, as `evaluation.comparison.Gain`."""
    notes: tuple[str, ...]
    """Caveats for the reader of the comparison."""
    index: list[Any]
    """The `model-index` of the front matter."""


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """Everything that a model's card states."""

    repo: str
    """`NAMESPACE/NAME`."""
    tag: str
    """The version that the card is for."""
    lineage: ModelLineage
    training: Mapping[str, Any]
    """The content of `training.json`."""
    curves: tuple[str, ...]
    """Paths of the figures of the training."""
    results: ModelResults | None
    """None if the model was not evaluated."""

    @property
    def name(self) -> str:
        """Name of the repository, without its namespace."""
        return self.repo.rpartition("/")[2]

    @property
    def license(self) -> InheritedLicence:
        """The licence of the weights: the strictest of the base's and the dataset's."""
        return inherited([self.lineage.base.license, *self.lineage.data.licenses])

    @property
    def settings(self) -> dict[str, object]:
        """The settings that determine what is learnt, with the values that `auto` was resolved to."""
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
    """Render a model's README.md.

    Args:
        facts: What the card states.

    Returns:
        The text, with its front matter.
    """
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
    """Render a dataset's README.md.

    Args:
        facts: What the card states.

    Returns:
        The text, with its front matter.
    """
    template = _environment().from_string(_template("plum_hub.dataset_cards", "dataset_card.md.jinja"))
    return template.render(facts=facts, front_matter=_front_matter(facts), label_of=facts.rule.label)


def _front_matter(facts: DatasetFacts) -> str:
    """Return the YAML front matter for the Hub, without its fences."""
    lineage = facts.lineage
    policy = lineage.policy.identity
    sources = [name for source in lineage.sources if (name := hub_id(source.name, source.revision))]
    values: dict[str, Any] = {
        "pretty_name": facts.pretty_name,
        "license": facts.license.id,
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
    """Return the Hub's size category for a number of rows."""
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
