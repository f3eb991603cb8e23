"""The records that flow from stage to stage, and `digest`, which names them.

The id of a record is the digest of what it was made from (law 4). Equal inputs give equal ids on every machine, and
records are matched by id, never by position. ARCHITECTURE.md, chapter 1, lists the terms.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from types import UnionType
from typing import (
    Any,
    ClassVar,
    Literal,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

Message: TypeAlias = dict[str, str]
"""One turn of a conversation: `{"role": "user", "content": "..."}`."""

Prompt: TypeAlias = str | list[Message]
"""What a model is asked: a conversation, or plain text for a base model to continue."""

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
"""The result of one sample on one suite (ARCHITECTURE.md, chapter 4)."""

Outcome: TypeAlias = Literal["passed", "wrong", "raised", "timed_out", "not_run"]
"""The result of one test case. `wrong` is a value other than the expected one; `not_run` follows a case that ended the
program."""


CaseRole: TypeAlias = Literal["typical", "edge", "large", "invalid", "unspecified"]
"""What a test case is there for. `invalid`: input that the task gives a rule for, such as an error."""

UNSPECIFIED: CaseRole = "unspecified"
"""The role of a case that the generator gave none."""


def by_role(counts: Mapping[str, int]) -> dict[str, int]:
    """Order counts of test cases by role.

    Args:
        counts: Number of cases by role, in any order.

    Returns:
        The roles that have cases, in the order of `CaseRole`.
    """
    return {role: counts[role] for role in get_args(CaseRole) if counts.get(role)}


def digest(*parts: object) -> str:
    """Name something by what it was made from.

    Args:
        parts: JSON-serialisable values. Dictionaries are compared by content, not by the order of their keys.

    Returns:
        The first 16 hex digits (64 bits) of the SHA-256 of the parts as canonical JSON.
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digests_with(last: object) -> Callable[[str, str], str]:
    """Prepare digests that end with the same value, for runs of many rows.

    Args:
        last: A JSON-serialisable value.

    Returns:
        A function of two texts that returns `digest(one, other, last)`, in a third of its time.
    """
    tail = json.dumps(last, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    quoted = json.encoder.encode_basestring_ascii

    def of(one: str, other: str) -> str:
        return hashlib.sha256(f"[{quoted(one)},{quoted(other)},{tail}]".encode()).hexdigest()[:16]

    return of


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """A task in natural language, and its source.

    `id` is the digest of `text` alone, so that a task found in two sources is one instruction and published suites can
    be reused for it.
    """

    id: str
    text: str
    """The task, after cleaning, word for word as the model is asked it."""
    source: str
    revision: str
    """Commit of the dataset, or `sha256:…` of the file or files."""
    row: str
    """The id of the row in its source, or its position there."""
    license: str | None = None
    """What the source states; None if it states nothing."""


@dataclass(frozen=True, kw_only=True)
class TestCase:
    """One case of a suite: a call, a statement, or a stdin/stdout pair.

    `kind` says which; the fields of the other kinds are None.
    """

    __test__: ClassVar[bool] = False  # pytest would collect the class as a test

    kind: Literal["call", "statement", "stdio"]
    """Which of the three it is: `stdio` is the stdin/stdout pair."""
    call: str | None = None
    """Python source of an expression over the names that the candidate defines."""
    expected: str | None = None
    """Python source of a literal, or of one in `approx(...)`, `isclose(...)` or `almost_equal(...)`, or
    in `as_lists(...)`, where a tuple may replace each list. The candidate never sees it (law 2)."""
    tolerance: float | None = None
    """Largest difference that numbers may have from a literal; None for equality."""
    statement: str | None = None
    """Python source of a test or an assertion that has not been split into a call and a value."""
    stdin: str | None = None
    """What the program reads from standard input."""
    stdout: str | None = None
    """What it has to print, compared by the rule `contest`."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """One answer of the generator, stored unchanged as soon as it arrives, because answers are what costs money."""

    id: str
    instruction_id: str
    index: int
    """Number of the answer among those to the instruction, from 0."""
    seed: int
    prompt_digest: str
    """Digest of the prompt template."""
    text: str
    """The answer, unchanged."""
    finish_reason: str
    """Why it ended: `stop` (the model ended it), `length` (cut at `suites.max_tokens`), or `refused`, whose `text` is
    the reason."""
    prompt_tokens: int
    """Tokens of the prompt, as the engine counted them; 0 where it does not say."""
    completion_tokens: int
    """Tokens of the answer, likewise."""
    engine: str = ""
    """Name and version of the engine, as in `vllm 0.32.0`. Recorded, but not part of the id."""


class SuiteContent(Protocol):
    """What a suite consists of, whether it is a record or not yet."""

    @property
    def entry_point(self) -> str:
        """Name of the function or class under test; "" for a script."""

    @property
    def starter_code(self) -> str:
        """What a solver is given; stubs are made of it."""

    @property
    def reference(self) -> str:
        """The reference solution; "" if there is none."""

    @property
    def cases(self) -> "tuple[TestCase, ...]":
        """The test cases."""


@dataclass(frozen=True, kw_only=True)
class TestSuite:
    """Starter code, test cases and the generator's reference solution for one instruction.

    The reference passes every case and a stub fails at least one; other suites are not kept (law 3). The reference is
    never training data.
    """

    __test__: ClassVar[bool] = False  # pytest would collect the class as a test

    id: str
    instruction_id: str
    response_id: str
    entry_point: str
    """Name of the function or class under test; "" for a script."""
    starter_code: str
    reference: str
    cases: tuple[TestCase, ...]

    @classmethod
    def of(cls, instruction_id: str, content: SuiteContent, *, response_id: str = "") -> Self:
        """Make the record of a suite.

        Args:
            instruction_id: The instruction.
            content: What the suite consists of.
            response_id: The response that it comes from; "" if no generator was asked.

        Returns:
            The record, whose id is `suite_digest`.
        """
        return cls(
            id=suite_digest(instruction_id, content),
            instruction_id=instruction_id,
            response_id=response_id,
            entry_point=content.entry_point,
            starter_code=content.starter_code,
            reference=content.reference,
            cases=content.cases,
        )


def suite_digest(instruction_id: str, content: SuiteContent) -> str:
    """Compute the id of a suite.

    Args:
        instruction_id: The instruction.
        content: What the suite consists of.

    Returns:
        The digest of both.
    """
    cases = [asdict(case) for case in content.cases]
    return digest(instruction_id, content.entry_point, content.starter_code, content.reference, cases)


@dataclass(frozen=True, kw_only=True)
class SuiteStrength:
    """How strong a suite is: which faults in its reference it notices, and how much of the reference it runs.

    `id` is that of the suite. Shares are None where there is nothing to count.
    """

    id: str
    instruction_id: str
    cases: int
    """Number of test cases."""
    mutants: int
    """Versions of the reference with one fault each that were run: fewer where the reference takes long."""
    killed: int
    """Mutants that failed a case."""
    equivalent: int
    """Other mutants that are presumed to do the same as the reference, so that no case can fail them."""
    mutation_score: float | None
    """`killed` divided by the mutants that are not `equivalent`."""
    statements: int
    """Statements of the reference that the cases could reach."""
    statements_covered: int
    """Those that the suite runs."""
    statement_coverage: float | None
    """Share of the reference's statements that the suite runs."""
    branches: int
    """Branches of the reference; an `else` that is not written counts as one."""
    branches_covered: int
    """Those that the suite takes."""
    branch_coverage: float | None
    """Share of the reference's branches that the suite takes."""
    sandbox: str
    """Version of the sandbox."""


@dataclass(frozen=True, kw_only=True)
class SuiteRoles:
    """The roles of the cases of a suite, as the generator named them (`suites.roles`)."""

    id: str
    """The id of the suite."""
    instruction_id: str
    roles: list[str]
    """For each case, in the order of the suite: `typical`, `edge`, `large`, `invalid`; `unspecified` if it has none."""


@dataclass(frozen=True, kw_only=True)
class SuiteVote:
    """How the references of several responses voted on the cases of a suite (`suites.vote`)."""

    id: str
    """The id of the suite."""
    instruction_id: str
    responses: list[str]
    """Ids of the responses that voted, in the order of their indices; that of the suite alone if no other could."""
    shares: list[float]
    """For each case, in the order of the suite, the share of these responses' references that pass it: over 1/2, up to
    1."""


@dataclass(frozen=True, kw_only=True)
class SuiteAddition:
    """The cases that were added to a suite (`suites.strengthen`)."""

    id: str
    """The id of the suite with them."""
    instruction_id: str
    cases: int
    """Number of the added cases, which are the suite's last."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One answer of the policy to the instruction of a suite."""

    id: str
    instruction_id: str
    suite_id: str
    index: int
    """Number of the answer among those to the suite, from 0."""
    seed: int
    prompt_digest: str
    """Digest of the prompt template."""
    text: str
    """The answer, unchanged."""
    code: str | None
    """The program found in `text`, or None."""
    finish_reason: str
    """Why it ended: `stop` (the model ended it), `length` (cut at `samples.max_tokens`), or `refused`, whose `text` is
    the reason."""
    prompt_tokens: int
    """Tokens of the prompt, as the engine counted them; 0 where it does not say."""
    completion_tokens: int
    """Tokens of the answer, likewise."""
    engine: str = ""
    """Name and version of the engine, as in `vllm 0.32.0`. Recorded, but not part of the id."""
    extraction: str = ""
    """Version of the rules that found `code` in `text` (`answers.code.EXTRACTION`). "" in runs made before it was
    recorded."""


@dataclass(frozen=True, kw_only=True)
class CaseOutcome:
    """The result of one case; outcomes are in the order of the suite's cases."""

    outcome: Outcome
    """`passed`, `wrong` (another value than the expected one), `raised` (an exception), `timed_out`, or `not_run` (an
    earlier case ended the program)."""
    detail: str = ""
    """The value or exception that was observed, at most 200 characters."""
    judged: Literal["outside", "inside"] = "outside"
    """Where the case was decided: outside the program's process, from what left it, or, for a statement that could not
    be taken apart, inside it.
    """


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of one sample on one suite."""

    id: str
    sample_id: str
    suite_id: str
    instruction_id: str
    status: Status
    cases: tuple[CaseOutcome, ...]
    """One outcome per case, in the order of the suite."""
    detail: str
    """The first failure, in one line; "" if there is none."""
    cpu_seconds: float | None
    """CPU time of the program; None if it did not run."""
    peak_memory_mb: float | None
    """Peak memory of the program; None if it did not run."""
    output: str = ""
    """The end of what the program printed, at most 2,000 characters."""
    sandbox: str = ""
    """Version of the sandbox, part of the id. "" in runs made before it was recorded."""
    static_check: str = ""
    """Version of the static check, part of the id. "" in runs made before it was recorded."""


@dataclass(frozen=True, kw_only=True)
class Preference:
    """One labelled completion, and the ids that it comes from."""

    id: str
    instruction_id: str
    suite_id: str
    sample_id: str
    verdict_id: str
    prompt: Prompt
    """What the policy was asked: a conversation as a list of `role` and `content`, or plain text."""
    completion: str
    """The policy's complete answer, unchanged."""
    label: bool
    """True for chosen, False for rejected."""


@dataclass(frozen=True, kw_only=True)
class Drop:
    """A row that was left out, by which stage, and why (law 6)."""

    id: str
    stage: str
    """The stage that left it out, as in `suites`."""
    reason: str
    """A word that reports count by, as in `reference_failed`; `reasons.DROP_REASONS` says what each means."""
    instruction_id: str
    detail: str = ""
    """Evidence, in one line."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number of an evaluation and all that it rests on: what a card, a leaderboard or a paper quotes."""

    benchmark: str
    """Its usual name, as in `humaneval+`."""
    revision: str
    """Commit of the benchmark, or `sha256:` of its file."""
    suite: str
    """The tests a sample has to pass: `base`, or `plus`, which includes `base`."""
    reading: Literal["official", "strict"]
    """Whose rules decided where they differ: those of the benchmark's own judge, or the strict ones."""
    part: str = ""
    """Difficulty or split of the problems counted; "" for all problems."""
    metric: str
    """`pass@1` and so on."""
    value: float
    """Mean over the problems, from 0 to 1."""
    stderr: float
    """Standard error of choosing the problems."""
    problems: int
    """Problems that the value is the mean of."""
    samples: int
    """Samples per problem; the fewest if the numbers differ."""
    model: str
    """Name of the model, or of the file of generations."""
    model_revision: str
    """Commit, or `sha256:…` of a folder's files or of the file of generations; "" where a server does not say."""
    engine: str
    """Name and version of the engine, as in `vllm 0.32.0`; "" for generations read from a file."""
    protocol: str = ""
    """Whose way of asking, with its version, as in `evalplus 0.3.1`; "" in scores of versions that knew one only."""
    prompt: str
    """`chat`, `prefilled`, `completion`, or `given` for generations read from a file."""
    prompt_digest: str
    """Digest of the prompt template; "" for generations read from a file."""
    extraction: str
    """Where in an answer the program was found, and what was removed from it."""
    temperature: float | None
    """None, as `top_p` and `max_tokens`, for generations read from a file."""
    top_p: float | None
    """Nucleus sampling threshold."""
    max_tokens: int | None
    """Most tokens of an answer."""
    harness: str
    """Version of the sandbox."""
    date: str
    """When the evaluation began: ISO 8601, UTC."""
    of_problems: int | None = None
    """Problems of the benchmark, counted or not; None in scores of versions that did not say."""
    caveat: str = ""
    """What the benchmark wants said with every score; "" if nothing."""

    @property
    def whole(self) -> bool:
        """Whether every problem of the benchmark is counted, as far as is known."""
        return not self.part and self.of_problems in (None, self.problems)


Record = (
    Instruction
    | Response
    | TestSuite
    | SuiteStrength
    | SuiteRoles
    | SuiteVote
    | SuiteAddition
    | Sample
    | Verdict
    | Preference
    | Drop
)
RecordT = TypeVar(
    "RecordT",
    Instruction,
    Response,
    TestSuite,
    SuiteStrength,
    SuiteRoles,
    SuiteVote,
    SuiteAddition,
    Sample,
    Verdict,
    Preference,
    Drop,
)
KeptT = TypeVar("KeptT", Instruction, Response, TestSuite, Sample, Verdict, Preference)
"""The records that a stage makes one by one: all but `Drop`, and what goes with a suite."""

_NESTED: dict[type, dict[str, type]] = {TestSuite: {"cases": TestCase}, Verdict: {"cases": CaseOutcome}}


def to_json(record: Record) -> dict[str, object]:
    """Convert a record to JSON values.

    Args:
        record: Any record. Fields that the kind of a test case does not have are left out.

    Returns:
        The object that `from_json` reads. Lists are those of the record.
    """
    row: dict[str, Any] = dict(vars(record))  # `asdict` copies each value deeply
    if isinstance(record, TestSuite):
        row["cases"] = [{key: value for key, value in vars(case).items() if value is not None} for case in record.cases]
    elif isinstance(record, Verdict):
        row["cases"] = [dict(vars(case)) for case in record.cases]
    return row


def from_json(kind: type[RecordT], row: Mapping[str, Any]) -> RecordT:
    """Read a record that `to_json` wrote.

    Args:
        kind: The record class.
        row: The JSON object.

    Returns:
        The record.

    Raises:
        ValueError: The row has an unknown key, lacks a key, or has a value of the wrong type; the message names them.
    """
    hashable: Any = kind  # mypy would check that its instances are hashable
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
    """Check that every value of a record has the type of its field; of a list, only that it is one.

    Args:
        record: An instance of a dataclass.

    Raises:
        ValueError: A value has another type; the message names its field.
    """
    kind: Any = type(record)  # mypy would check that its instances are hashable
    for name, kinds in _types(kind):
        value = getattr(record, name)
        if type(value) not in kinds:
            raise ValueError(f"{name} is a {type(value).__name__}, {value!r:.60}")


@cache
def _types(kind: type) -> tuple[tuple[str, tuple[type, ...]], ...]:
    """Return the fields of a record, each with the types that its value may have."""
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
    """Return the keys that a row of a kind may have, those that it must have, and those that hold nested records."""
    known = fields(kind)
    required = frozenset(field.name for field in known if field.default is field.default_factory)  # both MISSING
    return frozenset(field.name for field in known), required, _NESTED.get(kind, {})
