"""`views`: the same verdicts under other labelling rules."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from plum_hub.api.settings import Settings, StrPath, optional_path, setting_lines
from plum_hub.errors import RecipeError, RunError, UsageError
from plum_hub.files import write_whole
from plum_hub.pipeline.pull import pull
from plum_hub.pipeline.rule_views import RULES, RuleView, view_run
from plum_hub.records import Preference
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.release.views import dpo_rows, kto_rows, sft_rows
from plum_hub.run import Run


@dataclass(frozen=True, kw_only=True)
class ViewsResult:
    """A run's verdicts under one or more rules."""

    views: Mapping[str, RuleView]
    """Each rule's view, by the rule's name."""
    files: tuple[Path, ...] = ()
    """The files that were written."""

    def as_json(self) -> dict[str, object]:
        """Return the result as JSON values."""
        views = {
            name: {
                "rule": view.rule.rule,
                "chosen": view.chosen,
                "rejected": view.rejected,
                "instructions": view.instructions,
                "pairs": view.pairs,
                "left_out": dict(view.left_out),
            }
            for name, view in self.views.items()
        }
        return {"views": views, "files": list(map(str, self.files))}


def views(
    source: StrPath,
    *,
    rule: str | None = None,
    settings: Settings = (),
    out: StrPath | None = None,
    hub: str = "auto",
) -> ViewsResult:
    """Label the samples of a run or a release again under other rules; nothing is generated or judged.

    The rules are those of the recipe's `preferences` section. Named ones: `plum` (the paper's), `margin`, `near-miss`,
    `non-executable`, `both`, `deduplicated`, `capped`, `band` and `closest-pairs`.

    Args:
        source: A run folder, or `REPO@TAG`.
        rule: One of the named rules. Default: all of them, to compare.
        settings: Keys of `preferences` on top of the rule, as `{"max_per_label": 2}`; they make a rule of their own.
        out: A folder for `kto.jsonl`, `dpo.jsonl` and `sft.jsonl` of the one rule; `train` reads them.
        hub: Where `REPO@TAG` is: `auto`, `public`, `embedded` or a URL.

    Returns:
        What each rule chooses, rejects and leaves out.

    Raises:
        UsageError: The rule is unknown, or files are asked for without naming a rule.
        RecipeError: A setting is not a key of `preferences`, or its value is not allowed.
        RunError: The run is damaged, has no verdicts, or the files cannot be written.
        HubError: The release cannot be downloaded.

    Example:
        >>> result = plum_hub.views("me/plum-starter@v1.0.0", rule="margin", out="runs/margin")
        >>> result.views["margin"].rejected
        412
    """
    rules = _rules(rule, setting_lines(settings))
    if out is not None and len(rules) != 1:
        raise UsageError("--out writes the rows of one rule: name it with --rule, or give its keys with --set")
    with _opened(source, hub) as run:
        found = dict(view_run(run, rules))
    if not any(view.rows or view.left_out for view in found.values()):
        raise RunError(f"{source}: has no verdicts to label; finish the build first")
    folder = optional_path(out)
    return ViewsResult(views=found, files=() if folder is None else tuple(_write(folder, *found.values())))


def _rules(rule: str | None, settings: tuple[str, ...]) -> Mapping[str, PreferencesConfig]:
    if rule is not None and rule not in RULES:
        raise UsageError(f"--rule {rule}: there is no such rule; name one of {', '.join(RULES)}")
    if not settings:
        return RULES if rule is None else {rule: RULES[rule]}
    values = RULES[rule or "plum"].model_dump()
    for line in settings:
        key, _, value = line.partition("=")
        try:
            values[key.strip().removeprefix("preferences.")] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RecipeError(f"--set {line}: the value is not YAML ({str(error).splitlines()[0]})") from error
    try:
        return {rule or "custom": PreferencesConfig.model_validate(values)}
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        key = ".".join(map(str, wrong["loc"])) or "preferences"
        raise RecipeError(
            f"--set {key}: {wrong['msg']}; docs/reference/recipe.md lists the keys of preferences"
        ) from error


@contextmanager
def _opened(source: StrPath, hub: str) -> Iterator[Run]:
    """Open a run, or a release as a temporary run."""
    if Path(source).exists():
        yield Run.open(Path(source))
        return
    if "@" not in str(source):
        raise UsageError(f"{source}: is neither a run folder nor REPO@TAG")
    with tempfile.TemporaryDirectory(prefix="plum-views-") as folder:
        yield pull(str(source), Path(folder) / "run", hub)


def _write(folder: Path, view: RuleView) -> Iterator[Path]:
    """Write the rows of a view in the formats of TRL's trainers."""
    rows: Iterable[Preference] = view.rows
    kinds = {"kto": kto_rows(rows), "dpo": dpo_rows(rows, view.rule), "sft": sft_rows(rows)}
    for name, lines in kinds.items():
        path = folder / f"{name}.jsonl"
        write_whole(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        yield path
