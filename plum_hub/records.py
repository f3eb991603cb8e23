"""The rows that flow from stage to stage, frozen; and `digest`, which names them.

A row's id is the digest of what it was made from (law 4), so the same inputs give the same id on every machine and
rows are matched by id, never by position. The words are those of ARCHITECTURE.md, chapter 1.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from types import UnionType
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

Message: TypeAlias = dict[str, str]
"""One turn of a conversation: `{"role": "user", "content": "..."}`."""

Prompt: TypeAlias = str | list[Message]
"""What a model is asked: a conversation, or plain text to be continued by a base model."""

Status: TypeAlias = Literal[
    "passed",
    "failed",
    "timed_out",
    "out_of_memory",
    "crashed",
    "not_executable",
    "static_error",
    "syntax_error",
    "no_code",
]
"""What happened when one sample met one suite (ARCHITECTURE.md, chapter 4)."""

Outcome: TypeAlias = Literal["passed", "wrong", "raised", "timed_out", "not_run"]
"""What happened in one test case; `wrong` is another value than the expected one, `not_run` comes after a fatal one."""


def digest(*parts: object) -> str:
    """Name something by what it was made from.

    Args:
        parts: JSON-serialisable values; dictionaries are compared by content, not by order of keys.

    Returns:
        The first 16 hex digits (64 bits) of the SHA-256 of the parts' canonical JSON.
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """A task in natural language, and where it comes from. `id` is the digest of `text` alone, so that the same task
    met in two sources is one instruction and published suites can be reused for it."""

    id: str
    text: str
    source: str
    revision: str
    row: str
    """The row's own id in its source, or its position there."""
    license: str | None = None


@dataclass(frozen=True, kw_only=True)
class TestCase:
    """One case of a suite: a call, a statement, or a stdin/stdout pair; `kind` says which, the other fields are None.

    `call` and `expected` are Python source. `call` is any expression over the candidate's names; `expected` is a
    literal, or one within `approx(...)`, `isclose(...)` or `almost_equal(...)`, that is never shown to the candidate
    (law 2). `tolerance` is the difference that numbers may have from a literal.
    """

    __test__: ClassVar[bool] = False  # pytest would take the name for a test's

    kind: Literal["call", "statement", "stdio"]
    call: str | None = None
    expected: str | None = None
    tolerance: float | None = None
    statement: str | None = None
    stdin: str | None = None
    stdout: str | None = None


@dataclass(frozen=True, kw_only=True)
class Response:
    """One answer of the generator, kept word for word as soon as it arrives, because it is what costs money."""

    id: str
    instruction_id: str
    index: int
    seed: int
    prompt_digest: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    engine: str = ""
    """The engine and its version, as `vllm 0.32.0`: a fact, not an input of the id."""


@dataclass(frozen=True, kw_only=True)
class TestSuite:
    """Starter code, test cases and the generator's reference solution for one instruction.

    The reference passes every case and a stub fails at least one, or the suite was not kept (law 3). The reference is
    never training data."""

    __test__: ClassVar[bool] = False  # pytest would take the name for a test's

    id: str
    instruction_id: str
    response_id: str
    entry_point: str
    starter_code: str
    reference: str
    cases: tuple[TestCase, ...]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One answer of the policy to one suite's instruction."""

    id: str
    instruction_id: str
    suite_id: str
    index: int
    seed: int
    prompt_digest: str
    text: str
    code: str | None
    """The program found in `text`, or None."""
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    engine: str = ""
    """The engine and its version, as `vllm 0.32.0`: a fact, not an input of the id."""
    extraction: str = ""
    """Version of the rules that found `code` in `text` (`answers.code.EXTRACTION`); "" before it was recorded."""


@dataclass(frozen=True, kw_only=True)
class CaseOutcome:
    """What happened in one case, in the suite's order. `detail` is the value or exception seen, at most 200
    characters."""

    outcome: Outcome
    detail: str = ""
    judged: Literal["outside", "inside"] = "outside"
    """Where it was decided: outside the program's process, from what came out of it; or, for a statement, inside."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What happened when one sample met one suite."""

    id: str
    sample_id: str
    suite_id: str
    instruction_id: str
    status: Status
    cases: tuple[CaseOutcome, ...]
    detail: str
    cpu_seconds: float | None
    """None for a sample that was not run; so is the next."""
    peak_memory_mb: float | None
    output: str = ""
    """The end of what the program printed, at most 2,000 characters."""
    sandbox: str = ""
    """Version of the sandbox that decided, part of the id; "" in runs of before it was recorded."""
    static_check: str = ""
    """Version of the static check, part of the id; "" in runs of before it was recorded."""


@dataclass(frozen=True, kw_only=True)
class Preference:
    """One labelled completion, and the ids behind it. `label` is True for chosen and False for rejected."""

    id: str
    instruction_id: str
    suite_id: str
    sample_id: str
    verdict_id: str
    prompt: Prompt
    completion: str
    """The policy's whole answer, word for word, as it sampled it."""
    label: bool


@dataclass(frozen=True, kw_only=True)
class Drop:
    """A row that was left out, the stage that left it out, and why (law 6)."""

    id: str
    stage: str
    reason: str
    instruction_id: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number of an evaluation, with everything that it rests on: what a card, a leaderboard or a paper quotes."""

    benchmark: str
    """As the field calls it: `humaneval+`."""
    revision: str
    """Of the benchmark: a commit, or the sha256 of a file."""
    suite: str
    """What was asked of a sample to count: `base`, or `plus`, which includes it."""
    reading: Literal["official", "strict"]
    """Whose rules decided: the benchmark's own judge's, or ours, where they differ."""
    part: str = ""
    """The difficulty, or the split, of the problems counted; "" for all of them."""
    metric: str
    """`pass@1` and so on."""
    value: float
    """Between 0 and 1, over all problems."""
    stderr: float
    """Of choosing the problems."""
    problems: int
    samples: int
    """Of each problem; the fewest where there are not equally many."""
    model: str
    model_revision: str
    engine: str
    """The engine and its version, as `vllm 0.32.0`; "" for somebody else's generations."""
    prompt: str
    """`chat`, `prefilled`, `completion`, or `given` for somebody else's generations."""
    prompt_digest: str
    extraction: str
    """Where in an answer the program was found, and what was taken from it."""
    temperature: float | None
    """None, as the next two, where somebody else sampled."""
    top_p: float | None
    max_tokens: int | None
    harness: str
    """The version of the sandbox that decided."""
    date: str
    """When the evaluation began: ISO 8601, UTC."""


Record = Instruction | Response | TestSuite | Sample | Verdict | Preference | Drop
RecordT = TypeVar("RecordT", Instruction, Response, TestSuite, Sample, Verdict, Preference, Drop)
KeptT = TypeVar("KeptT", Instruction, Response, TestSuite, Sample, Verdict, Preference)
"""What a stage makes where it does not leave out."""

_NESTED: dict[type, dict[str, type]] = {TestSuite: {"cases": TestCase}, Verdict: {"cases": CaseOutcome}}


def to_json(record: Record) -> dict[str, Any]:
    """The record as JSON values; a test case leaves out the fields that its kind does not have."""
    row = asdict(record)
    if isinstance(record, TestSuite):
        row["cases"] = [{key: value for key, value in case.items() if value is not None} for case in row["cases"]]
    return row


def from_json(kind: type[RecordT], row: Mapping[str, Any]) -> RecordT:
    """The record that `to_json` wrote.

    Raises:
        ValueError: the row has a key too many or one too few, or a value of another type; the message names them.
    """
    hashable: Any = kind  # mypy takes its objects' hash for its own
    names, required, nested = _keys(hashable)
    if unknown := row.keys() - names:
        raise ValueError(f"unknown keys {sorted(unknown)}")
    if missing := required - row.keys():
        raise ValueError(f"missing keys {sorted(missing)}")
    values = dict(row)
    for name, inner in nested.items():
        values[name] = tuple(inner(**item) for item in row[name])
        for item in values[name]:
            check_types(item)
    record = kind(**values)
    check_types(record)
    return record


def check_types(record: object) -> None:
    """Find every value of a record of its field's type; of a list, that it is one.

    Raises:
        ValueError: one is not; the message names it.
    """
    kind: Any = type(record)  # mypy takes its objects' hash for its own
    for name, kinds in _types(kind):
        value = getattr(record, name)
        if type(value) not in kinds:
            raise ValueError(f"{name} is a {type(value).__name__}, {value!r:.60}")


@cache
def _types(kind: type) -> tuple[tuple[str, tuple[type, ...]], ...]:
    """The names of a record's fields, each with the types that its values may have."""
    return tuple((name, tuple(_kinds(hint))) for name, hint in get_type_hints(kind).items() if name != "__test__")


def _kinds(hint: Any) -> list[type]:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return [str]
    if origin in (UnionType, Union):
        return [kind for one in inner for kind in _kinds(one)]
    if hint is float:
        return [float, int]
    return [origin or hint]


@cache
def _keys(kind: type) -> tuple[frozenset[str], frozenset[str], dict[str, type]]:
    """The keys that a row of a kind may have, those that it must have, and those that hold records of a kind."""
    known = fields(kind)
    required = frozenset(field.name for field in known if field.default is field.default_factory)  # both MISSING
    return frozenset(field.name for field in known), required, _NESTED.get(kind, {})
