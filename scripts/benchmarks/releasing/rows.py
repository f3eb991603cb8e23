"""A complete run of the scripted engine, of any size, written directly as a run's own files.

Texts are about as long, and compress about as well, as those of a real run with a small policy: 1.7 kB a sample,
0.45 kB a verdict, 1.5 kB a preference.
"""

import json
import random
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

SAMPLES = 20
"""Samples per instruction."""
_STATUSES = ("passed", "failed", "timed_out", "syntax_error", "not_executable", "crashed")
_WEIGHTS = (46, 40, 2, 5, 5, 2)
_VERSIONS = ("jail-0", "mypy-0", "0")
"""Of the sandbox, the static check and the extraction, as the rows name them."""
_LABELS = {"passed": "true", "failed": "false", "timed_out": "false"}
_OUTCOMES = {"passed": "passed", "failed": "wrong", "timed_out": "timed_out"}
_VERBS = ("add", "count", "find", "join", "keep", "merge", "pick", "read", "sort", "split", "sum", "take", "turn")
_NOUNS = ("word", "line", "pair", "node", "item", "price", "level", "track", "point", "value", "order", "colour")


def made(folder: Path, samples: int) -> Path:
    """Return the run of so many samples in `folder`, made where it does not exist."""
    from plum_hub.lines import with_checksum
    from plum_hub.pipeline.verdicts import harness_of
    from plum_hub.run import FILES

    run = folder / f"run-{samples}"
    if not run.is_dir():
        partial = run.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        begun = _begun(folder, partial)
        harness = harness_of(begun.recipe, *_VERSIONS)
        with ExitStack() as stack:
            files = {kind: stack.enter_context(begun.path(kind).open("wb", buffering=1 << 20)) for kind in FILES}
            for kind, line in _lines(-(-samples // SAMPLES), harness):
                files[kind].write(with_checksum(line.encode()))
        for kind in FILES:
            list(islice(begun.rows(kind), SAMPLES))  # as the product reads them
        partial.rename(run)
    shutil.rmtree(run / "release", ignore_errors=True)  # of the last time
    (run / "releases.jsonl").unlink(missing_ok=True)
    return run


def _begun(folder: Path, run: Path) -> Any:
    """Return the sealed recipe; no benchmark is compared, since the peer compares none either."""
    from plum_hub.engines.scripted import ScriptedConfig
    from plum_hub.pipeline.build import seal_recipe
    from plum_hub.recipe import Recipe
    from plum_hub.run import Run

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tasks.jsonl").write_text('{"instruction": "Write a function."}\n')
    (folder / "answers.jsonl").write_text('{"texts": ["an answer"]}\n')
    engine = ScriptedConfig(model=str(folder / "answers.jsonl"))
    settings = {
        "instructions": {"source": str(folder / "tasks.jsonl")},
        "suites": {"responses": 1},
        "samples": {"per_instruction": SAMPLES},
        "decontamination": {"benchmarks": []},
    }
    recipe = Recipe.model_validate({"policy": engine, "generator": engine} | settings)
    return Run.create(run, seal_recipe(recipe.filled()))


def _lines(instructions: int, harness: dict[str, object]) -> Iterator[tuple[type, str]]:
    """Yield every row with its kind, instruction by instruction; a verdict's id is the digest that a release checks."""
    from plum_hub.records import Drop, Instruction, Preference, Response, Sample, TestSuite, Verdict, digests_with

    verdict_id = digests_with(harness)
    forms = {kind: _form(row) for kind, row in _prototypes().items()}
    draw = random.Random(0)
    pool = [f"    {_word(draw)} = {_word(draw)}({_word(draw)}, {draw.randrange(99)})\\n" for _ in range(50_000)]
    for number in range(instructions):
        values: dict[str, Any] = {
            "instruction": _id(draw), "suite": _id(draw), "response": _id(draw), "row": number,
            "function": f"{_word(draw)}_{number}", "task": f"what {_word(draw)} and {_word(draw)} say",
        }  # fmt: skip
        for kind in (Instruction, Response, TestSuite):
            yield kind, forms[kind] % values
        statuses = ["passed", *draw.choices(_STATUSES, _WEIGHTS, k=SAMPLES - 1)]
        for index, status in enumerate(statuses):
            at = draw.randrange(len(pool) - 14)
            outcome, sample = _OUTCOMES.get(status, "not_run"), _id(draw)
            verdict = verdict_id(sample, values["suite"])
            values |= {
                "index": index, "seed": draw.getrandbits(31), "sample": sample, "verdict": verdict,
                "body": "".join(pool[at : at + 14]), "preference": _id(draw), "status": status, "outcome": outcome,
                "seen": draw.getrandbits(16) if outcome == "wrong" else "", "cpu": draw.random() / 100,
                "label": _LABELS.get(status),
            }  # fmt: skip
            for kind in (Sample, Verdict, Preference if status in _LABELS else Drop):
                yield kind, forms[kind] % values


def _prototypes() -> dict[type, Any]:
    """Return a record of each kind with placeholders for what differs."""
    from plum_hub import records

    own = {"instruction_id": "%(instruction)s", "suite_id": "%(suite)s"}
    task = "Write a Python function `%(function)s(x)` that takes an integer and gives " + "%(task)s, then " * 8 + "x."
    starter = "def %(function)s(x: int) -> int:\n    pass\n"
    code = "def %(function)s(x: int) -> int:\n%(body)s    return x + %(index)d\n"
    text = f"Here is a function that does it.\n\n```python\n{code}```\n\nIt takes a number and gives a number.\n"
    tokens: dict[str, Any] = {"finish_reason": "stop", "prompt_tokens": 209, "completion_tokens": 130}
    answer = {"seed": "%(seed)d", "prompt_digest": "f1257671bbf8c8a0", "engine": "scripted 1"} | tokens
    case = records.CaseOutcome(outcome="%(outcome)s", detail="%(seen)s")
    call = records.TestCase(kind="call", call="%(function)s(1)", expected="8")
    return {
        records.Instruction: records.Instruction(
            id=own["instruction_id"], text=task, source="tasks.jsonl", revision="sha256:0", row="%(row)d"
        ),
        records.Response: records.Response(
            id="%(response)s", instruction_id=own["instruction_id"], index=0, text=starter, **answer | {"seed": 0}
        ),
        records.TestSuite: records.TestSuite(
            id=own["suite_id"], instruction_id=own["instruction_id"], response_id="%(response)s",
            entry_point="%(function)s", starter_code=starter, reference=starter, cases=(call,) * 4,
        ),
        records.Sample: records.Sample(
            id="%(sample)s", index="%(index)d", text=text, code=code, extraction=_VERSIONS[2], **own, **answer
        ),
        records.Verdict: records.Verdict(
            id="%(verdict)s", sample_id="%(sample)s", status="%(status)s", cases=(case,) * 4,
            detail="%(status)s %(seen)s", cpu_seconds="%(cpu)f", peak_memory_mb=11.2578125,
            sandbox=_VERSIONS[0], static_check=_VERSIONS[1], **own,
        ),
        records.Preference: records.Preference(
            id="%(preference)s", sample_id="%(sample)s", verdict_id="%(verdict)s", completion=text, label="%(label)s",
            prompt=[{"role": "user", "content": f"{task}\n\nSolve it. Begin with:\n```python\n{starter}```\n"}], **own,
        ),
        records.Drop: records.Drop(
            id="%(sample)s", stage="preferences", reason="%(status)s", instruction_id=own["instruction_id"],
        ),
    }  # fmt: skip


def _form(prototype: Any) -> str:
    """Return a row as JSON to be filled in by `%`; placeholders of numbers and labels stand alone, without quotes."""
    from plum_hub.records import to_json

    text = json.dumps(to_json(prototype), ensure_ascii=False, separators=(",", ":"))
    return re.sub(r'"(%\((?:seed|index|cpu)\)[df]|%\(label\)s)"', r"\1", text)


def _word(draw: random.Random) -> str:
    return f"{draw.choice(_VERBS)}_{draw.choice(_NOUNS)}"


def _id(draw: random.Random) -> str:
    return f"{draw.getrandbits(64):016x}"
