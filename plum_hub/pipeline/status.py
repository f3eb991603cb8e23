"""What a run has and what became of the rest: the numbers behind `status` and the end of `build-dataset`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plum_hub.errors import RunError
from plum_hub.files import is_locked
from plum_hub.lines import object_of
from plum_hub.pipeline.decontamination.stage import removed
from plum_hub.pipeline.published import GENERATE
from plum_hub.pipeline.suites import self_consistency
from plum_hub.records import Instruction, Preference, Response, Sample, TestSuite, Verdict
from plum_hub.run import FILES, Run

KINDS = (Instruction, Response, TestSuite, Sample, Verdict, Preference)


@dataclass(frozen=True)
class RunStatus:
    """Counts over a whole run. Shares are None where nothing was counted yet (law 10)."""

    rows: dict[str, int]
    """Rows of each kind."""
    wanted: dict[str, int | None]
    """Rows that each kind's stage has to make or leave out; of instructions, to make. None where that hangs on a stage
    that has not ended."""
    dropped: dict[str, dict[str, int]]
    """Rows left out: stage, reason, count."""
    statuses: dict[str, int]
    """Verdicts of each status."""
    chosen: int
    rejected: int
    labelled_instructions: int
    """Instructions with at least one preference."""
    self_consistency: float | None
    """Share of the decided responses whose reference solution passes their own tests (paper, Table 1); None also where
    the suites were published ones."""
    engines: dict[str, list[str]]
    """The engines and versions that wrote responses and samples."""

    def as_json(self) -> dict[str, Any]:
        """The summary as JSON values, for `--json`."""
        return dict(vars(self))


def summarise(run: Run) -> RunStatus:
    """Read the whole run once.

    Raises:
        RunError: a file of the run is damaged.
    """
    rows = {FILES[kind]: 0 for kind in KINDS}
    engines: dict[str, set[str]] = {"responses": set(), "samples": set()}
    rows["instructions"] = sum(1 for _ in run.columns(Instruction, "id"))
    rows["suites"] = sum(1 for _ in run.columns(TestSuite, "id"))
    for (engine,) in run.columns(Response, "engine"):
        rows["responses"] += 1
        engines["responses"].add(engine)
    gone, left_out = removed(run), 0
    for name, engine in run.columns(Sample, "id", "engine"):
        rows["samples"] += 1
        left_out += name in gone
        engines["samples"].add(engine)
    statuses = Counter(status for (status,) in run.columns(Verdict, "status"))
    labels: Counter[bool] = Counter()
    labelled = set()
    for label, instruction in run.columns(Preference, "label", "instruction_id"):
        labels[label] += 1
        labelled.add(instruction)
    rows |= {"verdicts": statuses.total(), "preferences": labels.total()}
    dropped: dict[str, dict[str, int]] = {}
    for (stage, reason), count in sorted(run.drop_reasons().items()):
        dropped.setdefault(stage, {})[reason] = count
    agreeing, decided = self_consistency(rows["suites"], dropped.get("suites", {}))
    generated = run.recipe.suites.source == GENERATE
    return RunStatus(
        rows=rows,
        wanted=_wanted(run, rows, {stage: sum(reasons.values()) for stage, reasons in dropped.items()}, left_out),
        dropped=dropped,
        statuses=dict(statuses.most_common()),
        chosen=labels[True],
        rejected=labels[False],
        labelled_instructions=len(labelled),
        self_consistency=agreeing / decided if generated and decided else None,
        engines={stage: sorted(names) for stage, names in engines.items()},
    )


def _wanted(run: Run, rows: Mapping[str, int], dropped: Mapping[str, int], left_out: int) -> dict[str, int | None]:
    """Each stage's `RunStatus.wanted`, from the sealed recipe and from what the stages before it have made; `left_out`
    samples were found in a benchmark, and are to have no preference."""
    recipe = run.recipe
    generated = recipe.suites.source == GENERATE
    assert recipe.suites.responses is not None  # a sealed recipe is filled in
    assert recipe.samples.per_instruction is not None
    # A stage makes its file when it begins, so the instructions are all there once the next stage has one.
    loaded = run.path(Response if generated else TestSuite).exists()
    responses = rows["instructions"] * recipe.suites.responses if generated else 0
    suites = responses - dropped.get("responses", 0) if generated else rows["instructions"]
    decided = loaded and rows["suites"] + dropped.get("suites", 0) == suites
    samples = rows["suites"] * recipe.samples.per_instruction if decided else None
    answered = None if samples is None else samples - dropped.get("samples", 0)
    return {
        "instructions": rows["instructions"] if loaded else recipe.instructions.limit,
        "responses": responses if loaded else None,
        "suites": suites if loaded else None,
        "samples": samples,
        "verdicts": answered,
        "preferences": None if answered is None else answered - left_out,
    }


def at_work(run: Run) -> bool:
    """Whether a process is working on the run now."""
    return is_locked(run.folder / ".lock")


def last_release(run: Run) -> dict[str, str] | None:
    """`repo` and `tag` of what was published last, None where nothing was.

    Raises:
        RunError: releases.jsonl is damaged.
    """
    path = run.folder / "releases.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith(b"\n")]
    if not whole:
        return None
    try:
        row = object_of(whole[-1])
        return {"repo": row["repo"], "tag": row["tag"]}
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}:{len(whole)}: not a release ({error}); delete this line") from error
