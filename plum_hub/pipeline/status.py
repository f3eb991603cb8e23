"""The rows that a run has and lacks, and its drops: the numbers behind `status` and the end of `build-dataset`."""

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from typing import Self

from plum_hub.files import is_locked
from plum_hub.pipeline.decontamination.stage import removed_ids
from plum_hub.pipeline.ledger import StageSpending, spending
from plum_hub.pipeline.published import GENERATE
from plum_hub.pipeline.roles import count_roles
from plum_hub.pipeline.strengthening import added_to
from plum_hub.pipeline.strengths import strength_of
from plum_hub.pipeline.suites import self_consistency
from plum_hub.records import Drop, Instruction, Preference, Response, Sample, TestSuite, Verdict
from plum_hub.run import FILES, Run
from plum_hub.statistics import Distribution

_KINDS = (Instruction, Response, TestSuite, Sample, Verdict, Preference)
"""The kinds of rows that are counted, in the order of the stages."""


@dataclass(frozen=True)
class RunStatus:
    """Counts over a whole run. Shares are None if nothing was counted yet (law 10)."""

    rows: dict[str, int]
    """Number of rows of each kind."""
    wanted: dict[str, int | None]
    """Rows that each stage has to make or leave out in all; for instructions, to make. None if that depends on a stage
    that is not complete."""
    dropped: dict[str, dict[str, int]]
    """Number of rows left out, by stage and reason."""
    statuses: dict[str, int]
    """Number of verdicts with each status."""
    chosen: int
    rejected: int
    labelled_instructions: int
    """Instructions with at least one preference."""
    self_consistency: float | None
    """Share of the decided responses whose reference solution passes their own tests (paper, Table 1). None also if the
    suites were published ones."""
    engines: dict[str, list[str]]
    """Names and versions of the engines that wrote responses and samples."""
    spending: tuple[StageSpending, ...] = ()
    """Tokens and money that the answers took, by stage."""
    strength: Distribution | None = None
    """Mutation scores of the suites; None if they were not measured."""
    roles: dict[str, int] | None = None
    """Cases of the suites by their role; None if the recipe asks for no roles."""
    added_cases: int | None = None
    """Cases that were added to the suites (`suites.strengthen`); None if none were asked for."""

    def as_json(self) -> dict[str, object]:
        """Return the summary as JSON values, for `--json`."""
        strength = None if self.strength is None else asdict(self.strength)
        return {**vars(self), "spending": [asdict(stage) for stage in self.spending], "strength": strength}


def summarise(run: Run) -> RunStatus:
    """Count the rows of a run.

    Args:
        run: The run.

    Returns:
        The counts.

    Raises:
        RunError: A file of the run is damaged.
    """
    rows = {FILES[kind]: 0 for kind in _KINDS}
    engines: dict[str, set[str]] = {"responses": set(), "samples": set()}
    rows["instructions"] = sum(1 for _ in run.columns(Instruction, "id"))
    rows["suites"] = sum(1 for _ in run.columns(TestSuite, "id"))
    for (engine,) in run.columns(Response, "engine"):
        rows["responses"] += 1
        engines["responses"].add(engine)
    for (engine,) in run.columns(Sample, "engine"):
        rows["samples"] += 1
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
        wanted=_wanted(
            run, rows, {stage: sum(reasons.values()) for stage, reasons in dropped.items()}, removed_ids(run)
        ),
        dropped=dropped,
        statuses=dict(statuses.most_common()),
        chosen=labels[True],
        rejected=labels[False],
        labelled_instructions=len(labelled),
        self_consistency=agreeing / decided if generated and decided else None,
        engines={stage: sorted(names) for stage, names in engines.items()},
        spending=spending(run),
        strength=strength_of(run),
        roles=count_roles(run),
        added_cases=None if (added := added_to(run)) is None else sum(added.values()),
    )


def _wanted(run: Run, rows: Mapping[str, int], dropped: Mapping[str, int], removed: Set[str]) -> dict[str, int | None]:
    """Return `RunStatus.wanted`.

    What matched a benchmark is in `removed`. Nothing is generated for such an instruction, but what there was before it
    was compared stays; such a sample gets no preference.
    """
    recipe = run.recipe
    generated = recipe.suites.source == GENERATE
    assert recipe.suites.responses is not None  # a sealed recipe is filled in
    assert recipe.samples.per_instruction is not None
    # A stage makes its file when it begins, so the instructions are complete once the next stage has a file.
    loaded = run.has(Response if generated else TestSuite)
    answered = _AnswersOfRemoved.of(run, removed)
    kept = rows["instructions"] - answered.instructions
    responses = kept * recipe.suites.responses + answered.responses if generated else 0
    suites = responses - dropped.get("responses", 0) if generated else rows["instructions"]
    decided = loaded and rows["suites"] + dropped.get("suites", 0) == suites
    kept = rows["suites"] - answered.suites
    samples = kept * recipe.samples.per_instruction + answered.samples if decided else None
    sampled = None if samples is None else samples - dropped.get("samples", 0)
    return {
        "instructions": rows["instructions"] if loaded else recipe.instructions.limit,
        "responses": responses if loaded else None,
        "suites": suites if loaded else None,
        "samples": samples,
        "verdicts": sampled,
        "preferences": None if sampled is None else sampled - answered.left_out,
    }


@dataclass(frozen=True)
class _AnswersOfRemoved:
    """Instructions that matched a benchmark, with what was generated for them before they were compared."""

    instructions: int = 0
    suites: int = 0
    responses: int = 0
    """Those that were dropped included."""
    samples: int = 0
    """The same."""
    left_out: int = 0
    """Samples that matched a benchmark, themselves or by their instruction."""

    @classmethod
    def of(cls, run: Run, removed: Set[str]) -> Self:
        """Count them."""
        if not removed:
            return cls()
        found = Counter(stage for stage, name in run.columns(Drop, "stage", "instruction_id") if name in removed)
        samples = left_out = 0
        for name, instruction in run.columns(Sample, "id", "instruction_id"):
            samples += instruction in removed
            left_out += name in removed
        return cls(
            instructions=sum(name in removed for (name,) in run.columns(Instruction, "id")),
            suites=sum(name in removed for (name,) in run.columns(TestSuite, "instruction_id")),
            responses=found["responses"] + sum(name in removed for (name,) in run.columns(Response, "instruction_id")),
            samples=found["samples"] + samples,
            left_out=left_out,
        )


def is_running(run: Run) -> bool:
    """Tell whether a process is working on a run now.

    Args:
        run: The run.

    Returns:
        True if another process holds the run's lock.
    """
    return is_locked(run.folder / ".lock")
