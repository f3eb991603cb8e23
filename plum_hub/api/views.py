"""`views`: the same verdicts under other labelling rules."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from plum_hub import benchmarks
from plum_hub.api.gold import gold_verdicts
from plum_hub.api.settings import Settings, StrPath, optional_path, setting_lines
from plum_hub.errors import RecipeError, RunError, UsageError, perhaps
from plum_hub.home import expanded, home
from plum_hub.instructions.addresses import parse_release
from plum_hub.layers import merged, setting_tree, unknown_key
from plum_hub.lines import replacing
from plum_hub.pipeline.gold_verdicts import GoldReport
from plum_hub.pipeline.pull import pull
from plum_hub.pipeline.rule_views import RULES, RuleView, labelled_rows, view_run
from plum_hub.progress import LoggedProgress, Progress
from plum_hub.records import Preference, digest
from plum_hub.refusal import first_refusal
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.release.views import Row, dpo_rows, kto_rows, sft_rows
from plum_hub.run import Run

_GOLD = "gold.jsonl"


@dataclass(frozen=True, kw_only=True)
class ViewsResult:
    """A run's verdicts under one or more rules."""

    views: Mapping[str, RuleView]
    """Each rule's view, by the rule's name."""
    files: tuple[Path, ...] = ()
    """The files that were written."""
    gold: GoldReport | None = None
    """What better tests judged; None without `gold`, or if that is a file of verdicts."""

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
                **_truth(view),
            }
            for name, view in self.views.items()
        }
        report = {} if self.gold is None else {"gold": self.gold.as_json()}
        return {"views": views, "files": list(map(str, self.files)), **report}


def views(
    source: StrPath,
    *,
    rule: str | None = None,
    settings: Settings = (),
    gold: StrPath | None = None,
    benchmark_data: StrPath | None = None,
    out: StrPath | None = None,
    hub: str = "auto",
    progress: Progress | None = None,
) -> ViewsResult:
    """Label the samples of a run or a release again under other rules; nothing is generated or judged.

    The rules are those of the recipe's `preferences` section. Named ones: `plum` (the paper's), `margin`, `near-miss`,
    `non-executable`, `both`, `repeated`, `deduplicated`, `capped`, `band` and `closest-pairs`.

    Args:
        source: A run folder, or `REPO@TAG`.
        rule: One of the named rules. Default: all of them, to compare.
        settings: Keys of `preferences` on top of the rule, as `{"max_per_label": 2}`; they make a rule of their own.
        gold: Better tests, by which the samples are judged to say how true each rule's labels are: a file or Hub
            dataset whose rows have tests, as `FILE[:COLUMN]` or `REPO[:COLUMN]`, or a benchmark such as `humaneval+`.
            An instruction is the row with its text or id, or the problem whose prompt it contains. Verdicts are kept
            in `gold.jsonl`: of the run, else beside `out`, else in `$PLUM_HUB_HOME`. Or a file of verdicts, as
            `plum-hub judge` writes it, with `sample_id` and `status`.
        benchmark_data: The file of the benchmark that `gold` names, or its folder. Default: it is downloaded.
        out: A folder for `kto.jsonl`, `dpo.jsonl` and `sft.jsonl` of the one rule; `train` reads them.
        hub: Where `REPO@TAG` is: `auto`, `public`, `embedded` or a URL.
        progress: Receives the number of samples that were judged by better tests.

    Returns:
        What each rule chooses, rejects and leaves out.

    Raises:
        UsageError: The rule is unknown, files are asked for without naming a rule, or the better tests cannot be read
            or are of no sample of the run; or `benchmark_data` is given for something else than a benchmark.
        RecipeError: A setting is not a key of `preferences`, or its value is not allowed.
        RunError: The run is damaged, has no verdicts, or the files cannot be written.
        HubError: The release cannot be downloaded.
        BenchmarkError: The benchmark is unavailable, or of another version.
        SandboxError: Samples cannot be judged on this machine.

    Example:
        >>> result = plum_hub.views("me/plum-starter@v1.0.0", rule="margin", out="runs/margin")
        >>> result.views["margin"].rejected
        412
    """
    rules = _rules(rule, setting_lines(settings))
    if out is not None and len(rules) != 1:
        raise UsageError("--out writes the rows of one rule: name it with --rule, or give its keys with --set")
    if benchmark_data is not None and str(gold) not in benchmarks.NAMES:
        raise UsageError(f"--benchmark-data {benchmark_data}: is for a benchmark; name it with --gold, such as mbpp+")
    folder = optional_path(out)
    files: tuple[Path, ...] = ()
    with _opened(source, hub) as run:
        kept, data = _gold_file(source, run, folder), optional_path(benchmark_data)
        judged = None if gold is None else gold_verdicts(run, str(gold), data, kept, progress or LoggedProgress())
        found = view_run(run, rules, None if judged is None else judged.passes)
        if not any(view.chosen or view.rejected or view.left_out for view in found.values()):
            raise RunError(f"{source}: has no verdicts to label; finish the build first")
        if gold is not None and not any(one.relevant for view in found.values() for one in (view.truth or {}).values()):
            raise UsageError(f"--gold {gold}: has no verdict on a sample of {source}; judge this run's samples")
        if folder is not None:
            files = tuple(_write(folder, run, *rules.values()))
    return ViewsResult(views=found, files=files, gold=None if judged is None else judged.report)


def _gold_file(source: StrPath, run: Run, out: Path | None) -> Path:
    """Return where gold verdicts are kept: a release is opened as a run that does not last."""
    if expanded(source).exists():
        return run.folder / _GOLD
    return home() / "gold" / f"{digest(str(source))}.jsonl" if out is None else out / _GOLD


def _truth(view: RuleView) -> dict[str, object]:
    """Return the label truth of a view as JSON values; nothing without gold verdicts."""
    if view.truth is None:
        return {}
    names = {True: "chosen", False: "rejected"}
    return {
        "truth": {
            names[label]: {
                "labelled": one.labelled,
                "right": one.right,
                "precision": one.precision,
                "interval": one.interval,
                "recall": one.recall,
            }
            for label, one in view.truth.items()
        }
    }


def _rules(rule: str | None, settings: tuple[str, ...]) -> Mapping[str, PreferencesConfig]:
    if rule is not None and rule not in RULES:
        raise UsageError(f"--rule {rule}: there is no such rule{perhaps(rule, RULES)}; name one of {', '.join(RULES)}")
    if not settings:
        return RULES if rule is None else {rule: RULES[rule]}
    values = RULES[rule or "plum"].model_dump()
    for line in settings:
        tree = setting_tree(line)
        values = merged(values, tree.get("preferences", tree))
    try:
        return {rule or "custom": PreferencesConfig.model_validate(values)}
    except ValidationError as error:
        refusal = first_refusal(error)
        key = refusal.key or "preferences"
        unknown = unknown_key(key, PreferencesConfig.model_fields, "recipe")
        raise RecipeError(f"--set {key}: {unknown if refusal.is_unknown else refusal.problem}") from error


@contextmanager
def _opened(source: StrPath, hub: str) -> Iterator[Run]:
    """Open a run, or a release as a temporary run."""
    if expanded(source).exists():
        yield Run.open(expanded(source))
        return
    release = parse_release(str(source), "run folder")
    with tempfile.TemporaryDirectory(prefix="plum-views-") as folder:
        yield pull("@".join(release), Path(folder) / "run", hub)


def _write(folder: Path, run: Run, rule: PreferencesConfig) -> Iterator[Path]:
    """Write the rows of a view in the formats of TRL's trainers."""
    views: dict[str, Callable[[Iterator[Preference]], Iterator[Row]]] = {
        "kto": kto_rows,
        "dpo": lambda rows: dpo_rows(rows, rule),
        "sft": sft_rows,
    }
    for name, view in views.items():
        path = folder / f"{name}.jsonl"
        with replacing(path, plain=True) as append:
            for row in view(labelled_rows(run, rule)):
                append(row)
        yield path
