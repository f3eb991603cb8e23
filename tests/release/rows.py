"""Small hand-made records of one imaginary run."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from plum_hub.columns import RecordSchema
from plum_hub.engines.base import EngineIdentity, Sampling
from plum_hub.execution.base import Limits
from plum_hub.records import (
    CaseOutcome,
    Drop,
    Instruction,
    Message,
    Preference,
    Prompt,
    Record,
    Sample,
    Status,
    TestCase,
    TestSuite,
    Verdict,
)
from plum_hub.release.lineage import Decontamination, InstructionSource, Lineage, ModelProvenance, SelfConsistency
from plum_hub.release.preferences import PreferencesConfig, preferences
from plum_hub.release.tree import ReleaseContents

if TYPE_CHECKING:
    import pyarrow as pa

CHAT: list[Message] = [{"role": "user", "content": "Write `add`."}]
MIXED: list[Status] = ["failed", "passed", "passed", "failed", "passed"]


def sample(name: str, *, suite: str = "s1", instruction: str = "i1", finish_reason: str = "stop") -> Sample:
    return Sample(
        id=name,
        instruction_id=instruction,
        suite_id=suite,
        index=0,
        seed=7,
        prompt_digest="9" * 16,
        text=f"```python\ndef add(a, b): return a + b  # {name}\n```",
        code=f"def add(a, b): return a + b  # {name}",
        finish_reason=finish_reason,
        prompt_tokens=12,
        completion_tokens=20,
    )


def verdict(of: Sample, status: Status) -> Verdict:
    return Verdict(
        id=f"v-{of.id}",
        sample_id=of.id,
        suite_id=of.suite_id,
        instruction_id=of.instruction_id,
        status=status,
        cases=(CaseOutcome(outcome="passed" if status == "passed" else "wrong", detail="3"),),
        detail="" if status == "passed" else "case 1",
        cpu_seconds=0.25,
        peak_memory_mb=12.5,
    )


def judged(statuses: Iterable[Status], suite: str = "s1") -> list[tuple[Sample, Verdict]]:
    samples = [
        (sample(f"{suite}-{n}", suite=suite, instruction=f"of-{suite}"), status) for n, status in enumerate(statuses)
    ]
    return [(row, verdict(row, status)) for row, status in samples]


def preference(name: str, *, label: bool, suite: str = "s1", prompt: Prompt = "def add(a, b):\n") -> Preference:
    return Preference(
        id=f"p-{name}",
        instruction_id=f"of-{suite}",
        suite_id=suite,
        sample_id=name,
        verdict_id=f"v-{name}",
        prompt=prompt,
        completion=f"    return a + b  # {name}\n",
        label=label,
    )


def suite(name: str = "s1") -> tuple[Instruction, TestSuite]:
    instruction = Instruction(
        id=f"of-{name}", text="Add two numbers.", source="some/source", revision="a" * 40, row="0", license="mit"
    )
    cases = (
        TestCase(kind="call", call="add(1, 2)", expected="3"),
        TestCase(kind="call", call="add(0.1, 0.2)", expected="0.3", tolerance=1e-9),
        TestCase(kind="statement", statement="assert add(1, 1) == 2"),
    )
    return instruction, TestSuite(
        id=name,
        instruction_id=instruction.id,
        response_id="r1",
        entry_point="add",
        starter_code="def add(a, b):\n    pass\n",
        reference="def add(a, b):\n    return a + b\n",
        cases=cases,
    )


def lineage(**changes: Any) -> Lineage:
    author = ModelProvenance(
        identity=EngineIdentity(engine="vllm", engine_version="0.32.0", model="some/policy-0.5B", revision="b" * 40),
        sampling=Sampling(temperature=1.0, top_p=0.95, max_tokens=512),
        weights="dequantised from Q4_K_M",
        dtype="bfloat16",
    )
    facts = Lineage(
        sources=(InstructionSource(name="some/source", revision="a" * 40, license="mit"),),
        instructions=4,
        policy=author,
        samples_per_suite=5,
        generator=author,
        self_consistency=SelfConsistency(responses=8, passed=5),
        harness_version="jail-1",
        checker_version="mypy-2.4.1",
        limits=Limits(),
        prompts={"suite": "1" * 16, "solve_chat": "2" * 16},
        packages={"plum-hub": "0.1.0"},
        decontamination=Decontamination(
            ngram=8, overlap=0.5, smallest_solution=25, suspicious=0.25, compared=(), not_compared=("livecodebench",)
        ),
    )
    return replace(facts, **changes)


def tables(rows: Iterable[Record]) -> "list[pa.Table]":
    """The rows, all of one kind, as one table; none where there is none."""
    found = list(rows)
    if not found:
        return []
    chat = isinstance(found[0], Preference) and not isinstance(found[0].prompt, str)
    return [RecordSchema.of(type(found[0]), conversational=chat).table(found)]


def contents(*, prompt: Prompt | None = None, **changes: Any) -> ReleaseContents:
    """Two suites with three chosen and two rejected samples each; one sample of the first crashed."""
    asked = CHAT if prompt is None else prompt
    pairs = [*judged(["passed", "failed", "passed", "timed_out", "passed", "crashed"]), *judged(MIXED, "s2")]
    rows: list[Preference | Drop] = []
    for name in ("s1", "s2"):
        of_suite = [pair for pair in pairs if pair[0].suite_id == name]
        verdicts = {verdict.sample_id: verdict for _, verdict in of_suite}
        rows += preferences((row for row, _ in of_suite), verdicts, lambda _: asked, PreferencesConfig())
    made = ReleaseContents(
        lineage=lineage(),
        recipe="model: some/policy-0.5B\n",
        preferences=tables(row for row in rows if isinstance(row, Preference)),
        rule=PreferencesConfig(),
        samples=[(tables(row for row, _ in pairs)[0], tables(row for _, row in pairs)[0])],
        suites=[(*suite("s1"), {}), (*suite("s2"), {})],
        dropped=tables(row for row in rows if isinstance(row, Drop)),
        card=lambda counts: f"{counts.chosen} chosen, {counts.rejected} rejected\n",
    )
    return replace(made, **changes)
