"""The columns of a released dataset: the Parquet files and the tables on the card both follow them."""

from collections.abc import Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

Config: TypeAlias = Literal["kto", "dpo", "sft", "samples", "test_suites", "dropped"]
"""A config of a released dataset."""
Method: TypeAlias = Literal["kto", "dpo", "sft"]
"""A training method, and the config that has its rows."""
Evidence: TypeAlias = Literal["strength", "discrimination", "vote", "roles"]
"""What a release may say about its suites: how strong they are, how well they tell samples apart, how references voted
on them, and what each case is there for."""

MESSAGES = "list<{role: string, content: string}>"
OUTCOMES = "list<{outcome: string, detail: string, judged: string}>"
CASES = (
    "list<{kind: string, call: string, expected: string, tolerance: float64, "
    "statement: string, stdin: string, stdout: string}>"
)


@dataclass(frozen=True)
class Column:
    """One column of a config."""

    name: str
    type: str
    """Its Arrow type, as the card shows it."""
    meaning: str
    """Its description on the card."""


def columns(config: Config, *, conversational: bool, evidence: Set[Evidence] = frozenset()) -> tuple[Column, ...]:
    """Return the columns of a config.

    Args:
        config: The config.
        conversational: Whether prompts are conversations; else they are plain text.
        evidence: The evidence about the suites, for which `test_suites` has more columns.

    Returns:
        The columns, in the order of the files.
    """
    if config in ("kto", "dpo", "sft"):
        return _training_columns(config, MESSAGES if conversational else "string")
    more = [name for name in EVIDENCE_COLUMNS if name in evidence and config == "test_suites"]
    return sum((EVIDENCE_COLUMNS[name] for name in more), _RECORD_COLUMNS[config])


def schema(config: Config, *, conversational: bool, evidence: Set[Evidence] = frozenset()) -> "pa.Schema":
    """Return the Arrow schema of a config.

    Args:
        config: The config.
        conversational: Whether prompts are conversations; else they are plain text.
        evidence: The evidence about the suites, as for `columns`.

    Returns:
        The schema, in the order of the files.
    """
    import pyarrow as pa

    found = columns(config, conversational=conversational, evidence=evidence)
    return pa.schema([(column.name, _arrow(column.type)) for column in found])


def _arrow(name: str) -> "pa.DataType":
    """Parse the name of an Arrow type: a scalar, `list<scalar>`, or `list<{field: scalar, ...}>`."""
    import pyarrow as pa

    if not name.startswith("list<"):
        return pa.type_for_alias(name)
    item = name.removeprefix("list<").removesuffix(">")
    if not item.startswith("{"):
        return pa.list_(pa.type_for_alias(item))
    pairs = (field.split(": ") for field in item.strip("{}").split(", "))
    return pa.list_(pa.struct([(field, pa.type_for_alias(kind)) for field, kind in pairs]))


_INSTRUCTION_ID = Column("instruction_id", "string", "the instruction: digest of its text")
_SAMPLE_ID = Column("sample_id", "string", "the sample, as in config `samples`")


def _training_columns(config: Config, text: str) -> tuple[Column, ...]:
    prompt = Column("prompt", text, "the prompt that the policy was given")
    completion = Column("completion", text, "the policy's complete answer, unchanged")
    if config == "dpo":
        return (
            prompt,
            Column("chosen", text, "an answer that passed every test case"),
            Column(
                "rejected", text, "an answer to the same prompt that is rejected (`preferences.rejected` of the recipe)"
            ),
            _INSTRUCTION_ID,
            Column("chosen_sample_id", "string", "the chosen sample, as in config `samples`"),
            Column("rejected_sample_id", "string", "the rejected sample, as in config `samples`"),
        )
    if config == "sft":
        return (prompt, completion, _INSTRUCTION_ID, _SAMPLE_ID)
    label = Column(
        "label", "bool", "true: chosen, passed every test case; false: rejected (`preferences.rejected` of the recipe)"
    )
    return (prompt, completion, label, _INSTRUCTION_ID, _SAMPLE_ID)


_RECORD_COLUMNS: dict[Config, tuple[Column, ...]] = {
    "samples": (
        Column("sample_id", "string", "digest of what the sample was made from"),
        _INSTRUCTION_ID,
        Column("suite_id", "string", "the test suite it was judged by, as in config `test_suites`"),
        Column("index", "int64", "number of the sample within its suite"),
        Column("seed", "int64", "the sampling seed"),
        Column("prompt_digest", "string", "digest of the prompt"),
        Column("text", "string", "the policy's complete answer"),
        Column("code", "string", "the program extracted from the answer; null if there is none"),
        Column("finish_reason", "string", "`stop`, `length` (cut at the token limit) or `refused`"),
        Column("prompt_tokens", "int64", "length of the prompt, in the policy's tokens"),
        Column("completion_tokens", "int64", "length of the answer, in the policy's tokens"),
        Column("verdict_id", "string", "digest of what the verdict was made from"),
        Column("status", "string", "the outcome of running the sample against its suite"),
        Column("cases", OUTCOMES, "the outcome of each test case, in the suite's order, and where it was decided"),
        Column("detail", "string", "the first error, if there is one"),
        Column("cpu_seconds", "float64", "CPU time of the run, in seconds"),
        Column("peak_memory_mb", "float64", "peak memory of the run, in MB"),
        Column("output", "string", "the end of what the program printed"),
    ),
    "test_suites": (
        Column("suite_id", "string", "digest of what the suite was made from"),
        _INSTRUCTION_ID,
        Column("instruction", "string", "the task, in natural language"),
        Column("source", "string", "the dataset or file that the instruction comes from"),
        Column("source_revision", "string", "its revision"),
        Column("source_row", "string", "the instruction's id or position there"),
        Column("license", "string", "the source's licence; null if it states none"),
        Column(
            "response_id",
            "string",
            "the generator's answer that the suite was read from; empty for tests of the source's own",
        ),
        Column("entry_point", "string", "the name that a solution must define; empty for a script"),
        Column("starter_code", "string", "the signature that the policy was shown"),
        Column(
            "cases", CASES, "the test cases; `kind` is `call`, `statement` or `stdio`, other kinds' fields are null"
        ),
        Column(
            "reference", "string", "the solution that came with the tests and passes every case; never training data"
        ),
    ),
    "dropped": (
        Column("id", "string", "id of the row that was left out"),
        Column("stage", "string", "the stage that left it out"),
        Column("reason", "string", "why"),
        _INSTRUCTION_ID,
        Column("detail", "string", "details, if there are any"),
    ),
}

EVIDENCE_COLUMNS: dict[Evidence, tuple[Column, ...]] = {
    "strength": (
        Column("case_count", "int64", "number of test cases"),
        Column(
            "mutation_score",
            "float64",
            "share of faulty versions of the reference that fail a case; null if there are none",
        ),
        Column(
            "statement_coverage", "float64", "share of the reference's statements that the cases run; null if unknown"
        ),
        Column("branch_coverage", "float64", "share of its branches that the cases take; null if it has none"),
    ),
    "discrimination": (
        Column("pass_rate", "float64", "share of the suite's samples that pass every case; null if it has none"),
        Column(
            "dual_agreement",
            "float64",
            "samples x cases of the best consensus set, which are samples that pass the same cases, as a share of all "
            "(CodeT, arXiv 2207.10397); null if it has no samples",
        ),
    ),
    "vote": (
        Column("voters", "int64", "number of the generator's answers whose references voted on the cases"),
        Column("shares", "list<float64>", "for each case, the share of these references that pass it: over 1/2"),
        Column("agreement", "float64", "mean of `shares`"),
    ),
    "roles": (
        Column(
            "roles",
            "list<string>",
            "for each case, its role: `typical`, `edge`, `large`, `invalid`; `unspecified` if the generator named none",
        ),
    ),
}
"""The columns of `test_suites` for each kind of evidence, in the order of the files."""
SUMMARIZED: dict[Evidence, str] = {
    "strength": "mutation_score",
    "discrimination": "dual_agreement",
    "vote": "agreement",
}
"""The column of each kind of evidence whose distribution the manifest has. Roles are counted instead."""

CONFIGS: tuple[Config, ...] = ("kto", "dpo", "sft", "samples", "test_suites", "dropped")
"""Every config, in the order of the card; `kto` is the default."""
