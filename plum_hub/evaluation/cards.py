"""Scores in the formats that describe models: `.eval_results/*.yaml`, `model-index`, and a table for the card.

All of them are made from the scores alone.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from plum_hub.benchmarks import ENTRIES
from plum_hub.engines.names import COMMIT
from plum_hub.records import Score


def eval_results(scores: Iterable[Score]) -> dict[str, str]:
    """Build the files of `.eval_results/`: one per benchmark, with its official scores over all problems.

    The Hub shows these values beside those of other models, so a benchmark of which only a part was tried has no file.

    Args:
        scores: The scores of a model.

    Returns:
        The text of each file, by name.
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries: dict[str, list[Any]] = {}
    for score in filter(lambda score: score.whole, _quoted(scores)):
        dataset, _ = _dataset(score)
        entry = EvalResultEntry(
            dataset_id=dataset,
            task_id=f"{score.suite}:{score.metric}",
            value=percent(score.value),
            dataset_revision=_commit(score),
            date=score.date,
            notes=terms(score),
        )
        entries.setdefault(_file(score.benchmark), []).append(entry)
    return {name: yaml.safe_dump(eval_result_entries_to_yaml(of), sort_keys=False) for name, of in entries.items()}


def model_index(scores: Iterable[Score], model: str) -> str:
    """Build the `model-index` of a model card's front matter.

    Args:
        scores: The scores of a model.
        model: Name of the model.

    Returns:
        YAML.
    """
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    results = []
    for score in _quoted(scores):
        dataset, name = _dataset(score)
        results.append(
            EvalResult(
                task_type="text-generation",
                dataset_type=dataset,
                dataset_name=f"{name} ({score.suite} tests)",
                dataset_config=score.suite,
                dataset_revision=_commit(score),
                metric_type=score.metric,
                metric_name=score.metric,
                metric_value=percent(score.value),
                metric_args={"stderr": percent(score.stderr), "problems": score.problems, "terms": terms(score)},
                verified=False,
            )
        )
    index: str = yaml.safe_dump({"model-index": eval_results_to_model_index(model, results)}, sort_keys=False)
    return index


def table(scores: Sequence[Score]) -> str:
    """Build a Markdown table of scores, with standard errors and what each score rests on.

    Args:
        scores: The scores of a model.

    Returns:
        The table, with one row for each official score.
    """
    lines = [
        "| benchmark | tests | problems | metric | official | strict | on these terms |",
        "|---|---|---:|---|---:|---:|---|",
    ]
    strict = {_key(score): score for score in scores if score.reading == "strict"}
    for score in scores:
        if score.reading == "official":
            _, name = _dataset(score)
            other = strict.get(_key(score))
            cells = [
                f"{name}, {score.part}" if score.part else name, score.suite, str(score.problems), score.metric,
                shown(score), shown(other) if other else "the same", terms(score),
            ]  # fmt: skip
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def terms(score: Score) -> str:
    """Describe what a score rests on.

    Args:
        score: The score.

    Returns:
        One line: how many of the benchmark's problems where not all, sampling, protocol, prompt, extraction, benchmark,
        sandbox and date, and what the benchmark wants said.
    """
    part = "" if score.part or score.whole else f"only {score.problems} of its {score.of_problems} problems; "
    sampling = f"{score.samples} sample{'s' * (score.samples > 1)} a problem"
    if score.temperature is not None:
        sampler = "greedy" if score.temperature == 0 else f"temperature {score.temperature:g}, top-p {score.top_p:g}"
        sampling = f"{sampling}, {sampler}, at most {score.max_tokens} tokens"
    asked = f"protocol {score.protocol}; " if score.protocol else ""
    return (
        f"{part}{sampling}; {asked}prompt {score.prompt}"
        + (f" {score.prompt_digest}" if score.prompt_digest else "")
        + "; "
        f"{score.extraction}; {score.benchmark} {score.revision}; judged by {score.harness}, {score.reading} rules; "
        f"{score.date[:10]}" + (f"; {score.caveat}" if score.caveat else "")
    )


def shown(score: Score) -> str:
    """Format a score.

    Args:
        score: The score.

    Returns:
        The value and its standard error in per cent, as in `51.8 ± 3.9`.
    """
    return f"{100 * score.value:.1f} ± {100 * score.stderr:.1f}"


def percent(value: float) -> float:
    """Convert a share to per cent.

    Args:
        value: A share from 0 to 1.

    Returns:
        Per cent, rounded to two digits.
    """
    return round(100 * value, 2)


def _quoted(scores: Iterable[Score]) -> list[Score]:
    return [score for score in scores if score.reading == "official" and not score.part]


def _key(score: Score) -> tuple[str, str, str, str]:
    return score.benchmark, score.suite, score.part, score.metric


def _dataset(score: Score) -> tuple[str, str]:
    entry = ENTRIES.get(score.benchmark)
    return (entry.dataset, entry.title) if entry else (score.benchmark, score.benchmark)


def _commit(score: Score) -> str | None:
    commit = score.revision.rpartition("@")[2]
    return commit if COMMIT.fullmatch(commit) else None


def _file(benchmark: str) -> str:
    return f"{benchmark.replace('+', '-plus')}.yaml"
