"""Where the rows of a training come from: a run's own preferences, a release, or anybody's unpaired preferences."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plum_hub.engines.base import LocalSettings
from plum_hub.errors import InstructionsError, TrainingError
from plum_hub.hubs.client import choose_target, connected, fetch_repo
from plum_hub.instructions.files import read_rows
from plum_hub.instructions.hub import read_folder
from plum_hub.records import Preference, Prompt, digest
from plum_hub.release.reading import config_files
from plum_hub.release.schemas import Config, Method
from plum_hub.release.views import dpo_rows, kto_rows, sft_rows
from plum_hub.run import Run
from plum_hub.training.lengths import NAME, TOOLS, Row

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_COLUMNS: dict[Method, tuple[str, ...]] = {
    "kto": ("prompt", "completion", "label"),
    "dpo": ("prompt", "chosen", "rejected"),
    "sft": ("prompt", "completion"),
}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which JSON may hold and no tokenizer takes."""
_IDS = ("sample_id", "chosen_sample_id", "rejected_sample_id")
_READ = frozenset({name for names in _COLUMNS.values() for name in names} | {*_IDS, "instruction_id", TOOLS})
"""Every column that a training may need; no other is decoded."""
_ONLY_TRL = ("chat_template_kwargs", "images", "image", "videos")
"""Columns by which TRL would train otherwise, and that are not read here."""


@dataclass(frozen=True)
class PolicyRef:
    """The model that wrote the samples. `model` is where it is found here, None where only its name is known."""

    name: str
    revision: str
    model: str | None


@dataclass(frozen=True)
class TrainingData:
    """Rows to train on, in TRL's format for one method."""

    name: str
    revision: str
    rows: Sequence[Row]
    writer: PolicyRef | None
    """None where nobody says who wrote them."""
    public: bool = field(default=False)
    """Whether `name` is a repository on a Hub."""
    not_read: tuple[str, ...] = ()
    """Columns that would change what is trained on, and that are not read."""

    def facts(self) -> dict[str, Any]:
        """What names the rows exactly."""
        content = hashlib.sha256()
        for row in self.rows:
            content.update(json.dumps(row, sort_keys=True).encode())
        return {"name": self.name, "revision": self.revision, "rows": len(self.rows), "sha256": content.hexdigest()}


def read_data(source: str, method: Method, hub: str) -> TrainingData:
    """The rows of a run folder, of `REPO[@REVISION]`, or of a file.

    Args:
        source: one of these.
        method: what is trained: kto takes all labelled rows, sft the chosen, dpo balanced pairs.
        hub: where a repository is, as `--hub` takes it.

    Raises:
        TrainingError: there is nothing of that name, it lacks columns, or it has no rows for this method.
        RunError, HubError: the run is damaged; the repository cannot be had.
    """
    path = Path(source).expanduser()
    if (path / "recipe.yaml").is_file():
        data = _of_run(path, method)
    elif path.is_file():
        with path.open("rb") as file:
            revision = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        table = list(_table([path]))
        data = TrainingData(path.name, revision, _in_form(table, method, source), None, not_read=_not_read(table))
    elif _REPO.fullmatch(source.partition("@")[0]) and not path.exists():
        data = _of_repository(source, method, hub)
    else:
        raise TrainingError(
            f"{source}: is no run folder, no .jsonl or .parquet file, and no REPO@TAG; name what to train on"
        )
    if not data.rows:
        raise TrainingError(f"{source}: has no rows for {method}; build-dataset labels answers, and status counts them")
    return data


def _of_run(folder: Path, method: Method) -> TrainingData:
    run = Run.open(folder)
    policy = run.recipe.policy
    model = policy.model if isinstance(policy, LocalSettings) else None
    writer = PolicyRef(policy.public().model, policy.revision or "", model)
    rows = sorted(run.rows(Preference), key=lambda row: row.suite_id)
    seed = run.recipe.preferences.seed
    revision = "sha256:" + (folder / "recipe.sha256").read_text(encoding="ascii").strip()
    return TrainingData(folder.resolve().name, revision, views(rows, method, seed), writer)


def _of_repository(source: str, method: Method, hub: str) -> TrainingData:
    repo, _, revision = source.partition("@")
    with connected(choose_target(hub)) as target:
        folder = fetch_repo(repo, revision or "main", target)
    manifest = folder / "manifest.json"
    writer = _writer(manifest) if manifest.is_file() else None
    configs: tuple[Config, ...] = (method, "kto")
    files = next((found for name in configs if (found := config_files(folder, name))), [])
    table = list(_table(files) if files else _default_split(folder, source))
    rows = _in_form(table, method, source)
    return TrainingData(repo, folder.name, rows, writer, public=True, not_read=_not_read(table))


def _writer(manifest: Path) -> PolicyRef:
    """Who wrote the samples of a release.

    Raises:
        TrainingError: the manifest does not say.
    """
    try:
        identity = json.loads(manifest.read_text(encoding="utf-8"))["lineage"]["policy"]["identity"]
        name, revision = identity["model"], identity["revision"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise TrainingError(
            f"{manifest}: does not say who wrote the samples ({type(error).__name__}: {error}), so this is no release "
            "of plum-hub; name one of its files instead of the repository"
        ) from error
    if not isinstance(name, str) or not isinstance(revision, str):
        raise TrainingError(f"{manifest}: its policy's model or revision is no text; name a file of the repository")
    return PolicyRef(name, revision, name if _REPO.fullmatch(name) else None)


def _default_split(folder: Path, source: str) -> Iterator[Row]:
    """The `train` split of a dataset that plum-hub did not make, as its card or its files lay it out."""
    try:
        yield from (dict(row) for _, row in read_folder(folder, source, _READ))
    except InstructionsError as error:
        raise TrainingError(str(error)) from error


def _table(files: Iterable[Path]) -> Iterator[Row]:
    """The rows of a user's files, or of a release's."""
    for path in files:
        try:
            yield from (dict(row) for _, row in read_rows(path, _READ))
        except InstructionsError as error:
            raise TrainingError(str(error)) from error


def _not_read(rows: Sequence[Row]) -> tuple[str, ...]:
    """The columns that would change what is trained on, if they were read."""
    found = [name for name in _ONLY_TRL if any(name in row for row in rows)]
    if rows and isinstance(rows[0].get("prompt"), str) and any(row.get(TOOLS) for row in rows):
        found.append(TOOLS)  # a plain prompt meets no template
    return tuple(found)


def _in_form(rows: Sequence[Row], method: Method, source: str) -> list[Row]:
    """Anybody's rows in TRL's format for a method: as they are where they have it, else made of labelled rows."""
    have = set.intersection(*(set(row) for row in rows)) if rows else set()
    wanted, labelled = _COLUMNS[method], _COLUMNS["kto"]
    as_they_are = have >= set(wanted) and not (method == "sft" and "label" in have)
    if rows and not as_they_are and not have >= set(labelled):
        raise TrainingError(
            f"{source}: {method} needs in every row {', '.join(wanted)}{_instead(method, have)}; what every row has is "
            f"{', '.join(sorted(have)) or 'nothing'}"
        )
    _check_rows(rows, wanted if as_they_are else labelled, source)
    tools = [_tools(row, number, source) for number, row in enumerate(rows)]
    if as_they_are:
        return _with_tools([_as_it_is(row, number, wanted) for number, row in enumerate(rows)], tools)
    found = [
        preference_of(row, number, source, told) for (number, row), told in zip(enumerate(rows), tools, strict=True)
    ]
    of_sample = {preference.sample_id: told for preference, told in zip(found, tools, strict=True)}
    made = views(sorted(found, key=lambda row: row.suite_id), method, 0)
    return _with_tools(made, [of_sample.get(row[NAME].split(" ")[0]) for row in made])


def _with_tools(rows: list[Row], tools: Sequence[str | None]) -> list[Row]:
    """The rows with the tools that their conversations may use, where any has some: to TRL a column of all rows."""
    if not any(tools):
        return rows
    return [row | {TOOLS: told} for row, told in zip(rows, tools, strict=True)]


def _tools(row: Mapping[str, Any], number: int, source: str) -> str | None:
    """The tools of a conversation, as TRL's column `tools` has them, in JSON: Arrow would give each of them the
    parameters of all the others. None where there are none, and beside a plain prompt, which meets no template.

    Raises:
        TrainingError: they are no list of objects.
    """
    given = row.get(TOOLS)
    if not given or isinstance(row["prompt"], str):
        return None
    try:
        found = json.loads(given) if isinstance(given, str) else given
        if isinstance(found, list) and all(isinstance(tool, dict) for tool in found):
            return json.dumps(found) if found else None
    except (ValueError, TypeError, RecursionError):
        pass
    raise TrainingError(
        f"{source}: row {number}: its tools are no list of objects, nor the JSON of one; mend the row, or leave the "
        "column out"
    )


def _instead(method: Method, have: Set[str]) -> str:
    """What else would do."""
    if method != "kto":
        return ", or prompt, completion and label"
    return " (these are pairs, for --method dpo)" if have >= set(_COLUMNS["dpo"]) else ""


def _check_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], source: str) -> None:
    """Find every row whole, and all of one form.

    Raises:
        TrainingError: a text is missing or of another form than in the first row, or a label is neither true nor false:
            what is not, as the word "false", would count as chosen.
    """
    texts = [name for name in columns if name != "label"]
    of_form = _is_text if rows and isinstance(rows[0][texts[0]], str) else _is_conversation
    for number, row in enumerate(rows):
        if not all(of_form(row[name]) for name in texts):
            raise TrainingError(
                f"{source}: row {number}: {', '.join(texts)} must all be texts, or all conversations (lists of role "
                "and content), in this row as in the first; mend the row"
            )
        if "label" in columns and row["label"] not in (True, False):
            raise TrainingError(
                f"{source}: row {number}: its label is {json.dumps(row['label'], default=str)}, where true or false is "
                "wanted; mend the row"
            )


def _is_text(found: object) -> bool:
    return isinstance(found, str) and _LONE_SURROGATE.search(found) is None


def _is_conversation(found: object) -> bool:
    if not isinstance(found, list) or not found:
        return False
    turns = all(
        isinstance(turn, dict) and _is_text(turn.get("role")) and _is_text(turn.get("content")) for turn in found
    )
    return turns and _is_json(found)


def _is_json(found: object) -> bool:
    """Whether a value can be written as JSON: Parquet may hold dates and bytes."""
    try:
        json.dumps(found)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _as_it_is(row: Mapping[str, Any], number: int, wanted: Sequence[str]) -> Row:
    names = [str(row[key]) for key in _IDS if row.get(key)]
    kept = {key: bool(row[key]) if key == "label" else row[key] for key in wanted}
    kept["instruction_id"] = _instruction_id(row) or digest(row["prompt"])
    return kept | {NAME: " ".join(names) or str(number)}


def views(preferences: Sequence[Preference], method: Method, seed: int) -> list[Row]:
    """The rows of a method, from preferences that lie suite by suite."""
    kinds: dict[Method, Callable[[Iterable[Preference]], Iterator[Row]]]
    kinds = {"kto": kto_rows, "sft": sft_rows, "dpo": lambda rows: dpo_rows(rows, seed)}
    return [
        {key: value for key, value in row.items() if key not in _IDS}
        | {NAME: " ".join(row[key] for key in _IDS if key in row)}
        for row in kinds[method](preferences)
    ]


def _instruction_id(row: Mapping[str, Any]) -> Any:
    """The row's own, if it has one; as text, where it is neither a text nor a number."""
    given = row.get("instruction_id")
    return given if not given or isinstance(given, str | int) else str(given)


def preference_of(row: Mapping[str, Any], number: int, source: str, tools: str | None = None) -> Preference:
    """A labelled row of a dataset, which names no suite: all answers to one prompt, with the same tools, count as one
    suite's.

    Raises:
        TrainingError: its completion is a conversation of several turns.
    """
    prompt: Prompt = row["prompt"]
    completion = row["completion"]
    if not isinstance(completion, str):
        if len(completion) != 1:
            raise TrainingError(
                f"{source}: row {number}: its completion is a conversation of {len(completion)} turns, where one "
                "answer is wanted; give pairs of prompt, chosen and rejected"
            )
        completion = completion[0]["content"]
    name = digest(prompt, tools) if tools else digest(prompt)
    return Preference(
        id=str(number),
        instruction_id=_instruction_id(row) or name,
        suite_id=name,
        sample_id=str(row.get("sample_id") or number),
        verdict_id="",
        prompt=prompt,
        completion=completion,
        label=bool(row["label"]),
    )
