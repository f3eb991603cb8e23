"""An experiment as its folders hold it: a real build by the scripted engine, and the records of a training and of two
evaluations."""

import json
from pathlib import Path
from typing import Any

from tests.rehearsal import command, plum_hub, write_rehearsal
from tests.training.records import TRAINING

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
"""What a task, an answer, a model's name and a drop's reason contain."""
_TITLED = HOSTILE.replace("/", "∕").replace('"', "'")  # as the name of a file


def write_experiment(folder: Path, *, hostile: bool = False) -> Path:
    """`data` (a run of six tasks), `training/kto`, `evaluation/base` and `evaluation/kto`."""
    scratch, experiment = folder / "scratch", folder / "experiment"
    scratch.mkdir(parents=True)
    write_rehearsal(scratch)
    answers = scratch / "answers.jsonl"
    if hostile:
        tasks = scratch / "tasks.jsonl"
        tasks.write_text(_changed(tasks.read_text(), "for rehearsal 0", f"for rehearsal 0 {HOSTILE}"))
        text = _changed(answers.read_text(), "for rehearsal 0", f"for rehearsal 0 {HOSTILE}")
        text = _changed(text, "Here it is.", f"Here it is. {HOSTILE}")
        answers = scratch / f"{_TITLED}.jsonl"
        answers.write_text(_changed(text, "return x + 10 + 100", f"return x + 10 + 100  # {HOSTILE}"))
    done = plum_hub(command(scratch, "--model", f"scripted:{answers}", "--run", str(experiment / "data")))
    assert done.returncode == 0, done.stderr
    if hostile:
        _add_drop(experiment / "data")
    seal = (experiment / "data" / "recipe.sha256").read_text().strip()
    write_training(experiment / "training" / "kto", data={"name": "data", "revision": f"sha256:{seal}"})
    write_scores(experiment / "evaluation" / "base", "r", {"a": 1, "b": 1, "c": 0, "d": 0})
    write_scores(experiment / "evaluation" / "kto", "trained", {"a": 1, "b": 1, "c": 1, "d": 0})
    return experiment


def write_training(folder: Path, **changed: Any) -> None:
    """The record of a training of model `m` at `r`, with `data` and more changed, and its metrics."""
    folder.mkdir(parents=True)
    record = {**TRAINING, **changed, "data": {**TRAINING["data"], **changed.get("data", {})}}
    (folder / "training.json").write_text(json.dumps(record))
    rows = ({"step": step, "loss": 1 / step, "rewards/margins": step / 9} for step in range(1, 31))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_scores(
    folder: Path, revision: str, passed: dict[str, int], benchmark: str = "humaneval+", **changed: Any
) -> None:
    """The scores of one sample of each problem on the base and plus tests, with more of the record changed; `plus`
    passes where `base` does."""
    folder.mkdir(parents=True)
    value = sum(passed.values()) / len(passed)
    common = {
        "benchmark": benchmark, "revision": "v", "reading": "official", "part": "", "metric": "pass@1", "value": value,
        "stderr": (value * (1 - value) / len(passed)) ** 0.5, "problems": len(passed), "samples": 1, "model": "m",
        "model_revision": revision, "engine": "scripted 1", "prompt": "chat", "prompt_digest": "p",
        "extraction": "fenced code", "temperature": 0.0, "top_p": 1.0, "max_tokens": 768, "harness": "jail",
        "date": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    counts = {name: [1, count] for name, count in passed.items()}
    record = {
        "version": 1, "model": {"type": "scripted", "model": "m", "revision": revision}, "benchmarks": {benchmark: "v"},
        "selection": {}, "protocol": {}, "harness": "jail", "date": common["date"],
        "scores": [{**common, "suite": suite} for suite in ("base", "plus")],
        "outcomes": {
            benchmark: {
                "revision": "v",
                "counts": {suite: {"official": counts} for suite in ("base", "plus")},
                "parts": {},
            }
        },
        **changed,
    }  # fmt: skip
    (folder / "scores.json").write_text(json.dumps(record))


def _changed(text: str, old: str, new: str) -> str:
    """Change a part of JSON strings."""
    return text.replace(old, json.dumps(new)[1:-1])


def _add_drop(run: Path) -> None:
    rows = run / "shards" / "00000"
    first = json.loads((rows / "instructions.jsonl").read_text().splitlines()[0])
    drop = {"id": "0" * 16, "stage": HOSTILE, "reason": HOSTILE, "instruction_id": first["id"], "detail": HOSTILE}
    with (rows / "dropped.jsonl").open("a") as file:
        file.write(json.dumps(drop) + "\n")
