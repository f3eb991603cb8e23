"""Read the rows of a training: from a run's preferences, a release, or any file of unpaired or paired preferences."""

import hashlib
import json
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from plum_hub.engines.base import LocalSettings
from plum_hub.errors import HubError, InstructionsError, TrainingError
from plum_hub.home import expanded
from plum_hub.hubs.client import choose_target, connected, fetch_repo
from plum_hub.instructions.addresses import DatasetAddress, LocalAddress, parse_source
from plum_hub.instructions.cells import list_of
from plum_hub.instructions.files import read_rows
from plum_hub.instructions.hub import read_folder
from plum_hub.instructions.local import exists, find_local, find_part
from plum_hub.records import Preference, Prompt, digest
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.release.reading import config_files
from plum_hub.release.schemas import Config, Method
from plum_hub.release.views import dpo_rows, kto_rows, sft_rows
from plum_hub.run import Run
from plum_hub.spool import Spool
from plum_hub.training.asked import ANSWERS
from plum_hub.training.checking import checked
from plum_hub.training.forms import COLUMNS, LABELLED, PAIRED, Placed, standard_rows, turns_in_texts, unpaired
from plum_hub.training.lengths import ROW_NAME, TOOLS, Row
from plum_hub.training.record import DataRecord, ModelRevision
from plum_hub.training.stored_rows import stored
from plum_hub.training.survey import NOT_READ, lacking, survey

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_NONE: dict[Method, str] = {
    "kto": "the file is empty: add rows",
    "dpo": "no prompt has both a chosen and a rejected answer: add pairs, or train with --method sft",
    "sft": "no answer is chosen: add rows with the label true",
}
"""What is missing where a file gives no rows."""
_IDS = ("sample_id", "chosen_sample_id", "rejected_sample_id")
_READ = COLUMNS | NOT_READ | {*_IDS, "instruction_id", TOOLS}
"""Every column that a training may need; no other is decoded."""


@dataclass(frozen=True)
class PolicyRef:
    """The model that sampled the answers."""

    name: str
    revision: str
    model: str | None
    """Local folder or Hub repository to load it from; None where only its name is known."""


@dataclass(frozen=True)
class TrainingData:
    """Rows to train on, in TRL's format for one method."""

    name: str
    """Run, repository or file."""
    revision: str
    """Commit, or `sha256:…` of the run's recipe or of the file."""
    rows: Sequence[Row]
    policy: PolicyRef | None
    """Model that sampled the answers; None where the source does not say."""
    ignored_columns: tuple[str, ...] = ()
    """Columns by which TRL would train differently, and that are not read."""
    places: Callable[[int], str] | None = field(default=None, repr=False, compare=False)
    """Says where the row at a position was read, such as `FILE:LINE`; None for rows that have names of their own."""

    def digest(self) -> str:
        """Compute a digest of the rows.

        Returns:
            SHA-256 of the rows as JSON, in order, as a hexadecimal string.
        """
        content = hashlib.sha256()
        for row in self.rows:
            content.update(json.dumps(row, sort_keys=True).encode())
        return content.hexdigest()

    def record(self) -> DataRecord:
        """Describe the rows for `training.json`.

        Returns:
            Name, revision, digest and policy.
        """
        policy = None if self.policy is None else ModelRevision(name=self.policy.name, revision=self.policy.revision)
        return DataRecord(
            name=self.name, revision=self.revision, rows=len(self.rows), sha256=self.digest(), written_by=policy
        )


def read_data(source: str, method: Method, hub: str) -> TrainingData:
    """Read the rows of a training.

    Args:
        source: Run folder, file, or repository as `REPO[@REVISION]`.
        method: Training method: kto takes all labelled rows, sft the chosen ones, dpo balanced pairs.
        hub: Hub of a repository: auto, public, embedded or a URL.

    Returns:
        The rows in the format of the method, at least one.

    Raises:
        TrainingError: The source does not exist, lacks columns, or has no rows for this method.
        RunError: The run is damaged.
        HubError: The repository cannot be fetched.
    """
    path = expanded(source)
    if exists(path / "recipe.yaml"):
        data = _from_run(path, method)
        none = "build-dataset labels answers, and status counts them"
    else:
        none = _NONE[method]
        try:
            found = parse_source(source)
            _refuse_column(found, source)
            data = (
                _from_repository(found, method, hub)
                if isinstance(found, DatasetAddress)
                else _from_files(path if found is None else found.path, method, source)
            )
        except InstructionsError as error:
            raise TrainingError(f"{error}; name a run, a file or folder of rows, or REPO@TAG") from error
    if not data.rows:
        raise TrainingError(f"{source}: has no rows for {method}; {none}")
    return data


def _refuse_column(found: LocalAddress | DatasetAddress | None, source: str) -> None:
    """Refuse a column in an address: a method reads its own, and a config or split is named otherwise."""
    if found is None or found.column is None:
        return
    head = source.strip().removesuffix(f":{found.column}")
    part = f"; a config or split is named as in  '{head}?split={found.column}'" if "/" in head else ""
    raise TrainingError(
        f"{source}: names the column {found.column!r}, and a training reads those of its method: "
        f"leave out :{found.column}, or rename the column in the file{part}"
    )


def _from_files(path: Path, method: Method, source: str) -> TrainingData:
    found = find_local(path, splits=("train",) if path.is_dir() else None)
    made = _convert(lambda: found.rows(_READ), method, source)
    return TrainingData(found.name, found.revision, made.rows, None, made.ignored, made.places)


def _from_run(folder: Path, method: Method) -> TrainingData:
    run = Run.open(folder)
    config = run.recipe.policy
    model = config.model if isinstance(config, LocalSettings) else None
    policy = PolicyRef(config.public().model, config.revision or "", model)
    made = method_rows(by_suite_id(run.rows(Preference)), method, run.recipe.preferences)
    revision = "sha256:" + (folder / "recipe.sha256").read_text(encoding="ascii").strip()
    return TrainingData(folder.resolve().name, revision, stored(made), policy)


def _from_repository(address: DatasetAddress, method: Method, hub: str) -> TrainingData:
    repo, source = address.repo, address.name
    try:
        with connected(choose_target("public" if address.explicit and hub == "auto" else hub)) as target:
            folder = fetch_repo(repo, address.revision or "main", target, patterns=address.patterns)
    except HubError as error:
        if address.explicit or address.revision:
            raise
        raise HubError(f"{error}; nor is there a run, file or folder {repo} here") from error
    if address.path:
        part = find_part(folder, address.path, source)
        made = _convert(lambda: part.rows(_READ), method, source)
        return TrainingData(repo, folder.name, made.rows, None, made.ignored, made.places)
    manifest = folder / "manifest.json"
    policy = _policy(manifest) if manifest.is_file() else None
    configs: tuple[Config, ...] = (method, "kto")
    files = [] if address.is_part else next((found for name in configs if (found := config_files(folder, name))), [])
    made = _convert(lambda: _of_release(files) if files else _of_split(folder, address), method, source)
    return TrainingData(repo, folder.name, made.rows, policy, made.ignored, made.places)


def _policy(manifest: Path) -> PolicyRef | None:
    """Read from a release's manifest which model sampled the answers; None for another's file of that name."""
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or "lineage" not in content:
            return None
        identity = content["lineage"]["policy"]["identity"]
        name, revision = identity["model"], identity["revision"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise TrainingError(
            f"{manifest}: does not say which model wrote the samples ({type(error).__name__}: {error}), so this is not "
            "a release of plum-hub; name one of its files, as in  hf://datasets/REPO@REVISION/FILE"
        ) from error
    if not isinstance(name, str) or not isinstance(revision, str):
        raise TrainingError(
            f"{manifest}: the policy's model or revision is not a string; name one of its files, as in  "
            "hf://datasets/REPO@REVISION/FILE"
        )
    return PolicyRef(name, revision, name if _REPO.fullmatch(name) else None)


def _of_split(folder: Path, address: DatasetAddress) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a split of a dataset, `train` unless another is named, as its card or its files define it."""
    splits = (address.split or "train",)
    yield from read_folder(folder, address.repo, _READ, splits, address.config)


def _of_release(files: Iterable[Path]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from ((f"{path}:{number}", row) for path in files for number, row in read_rows(path, _READ))


class _Converted(NamedTuple):
    """Rows in TRL's format for a method."""

    rows: Sequence[Row]
    ignored: tuple[str, ...]
    """Columns by which TRL would train differently."""
    places: Callable[[int], str]


def _convert(opened: Callable[[], Iterator[tuple[str, Mapping[str, Any]]]], method: Method, source: str) -> _Converted:
    """Convert rows to TRL's format for a method: unchanged where they have it, else derived from what they have.

    Args:
        opened: Reads the rows from the first one, each with where it is; called more than once.
        method: Training method.
        source: File or dataset, for messages.

    Returns:
        The rows.
    """
    in_texts = turns_in_texts(row for _, row in opened())
    found = survey(standard_rows(opened(), in_texts))
    form = found.form(method) or LABELLED
    if found.shapes and not found.form(method):
        found.refuse_odd_row(method)
        raise TrainingError(f"{source}: {lacking(found, method, (row for _, row in opened()))}")
    read: array[int] = array("Q")
    """The number of the row that each row was made of: it is looked up again when it must be named."""

    def places(position: int) -> str:
        return next(where for where, _ in islice(opened(), read[position], None))

    whole = checked(standard_rows(opened(), in_texts), form)
    if form == LABELLED and method != "kto":
        return _Converted(_derived(whole, method, read), found.ignored, places)
    ignored = (*found.ignored, *(("label",) if "label" in found.some - set(form) else ()))
    pairs = (method, form) == ("kto", PAIRED)
    numbered = unpaired(whole) if pairs else ((number, *one) for number, one in enumerate(whole))
    kept = LABELLED if method == "kto" else form

    def rows() -> Iterator[tuple[Row, str | None]]:
        for number, where, row in numbered:
            read.append(number)
            yield _unchanged(row, number, kept), _tools(row, where)

    return _Converted(stored(rows()), ignored, places)


def _derived(given: Placed, method: Method, read: "array[int]") -> Sequence[Row]:
    """Derive the rows of dpo or sft from labelled ones; `read` gets the number of the first that each was made of."""
    tools = Spool()
    of_sample: dict[str, int] = {}

    def labels() -> Iterator[Preference]:
        for number, (where, row) in enumerate(given):
            tools.append(own := _tools(row, where))
            preference = preference_of(row, number, where, own)
            of_sample[preference.sample_id] = number
            if not isinstance(row["completion"], str):
                preference = replace(preference, completion=json.dumps(row["completion"]))
            yield preference

    def rows() -> Iterator[tuple[Row, str | None]]:
        for row, _ in method_rows(by_suite_id(labels()), method, PreferencesConfig()):
            words = row[ROW_NAME].split(" ")  # an id may have spaces too
            names = (" ".join(words[:count]) for count in range(len(words), 0, -1))
            read.append(number := next(of_sample[name] for name in names if name in of_sample))
            # A turn may call tools or hold its reasoning, and a preference knows texts only.
            turns = {name: json.loads(row[name][0]["content"]) for name in ANSWERS if isinstance(row.get(name), list)}
            yield row | turns, tools[number]

    return stored(rows())


def by_suite_id(preferences: Iterable[Preference]) -> Iterator[Preference]:
    """Sort labelled answers by suite; they are on disk meanwhile.

    Args:
        preferences: Labelled answers; those of a suite keep their order.

    Yields:
        The same answers.
    """
    spool, suites = Spool(), []
    for one in preferences:
        spool.append(vars(one))
        suites.append(one.suite_id)
    for number in sorted(range(len(suites)), key=suites.__getitem__):
        yield Preference(**spool[number])


def _tools(row: Mapping[str, Any], where: str) -> str | None:
    """Return the tools of a conversation as JSON, or None.

    JSON rather than objects, since Arrow would give each tool the parameters of all the others. None also for a
    plain-text prompt, to which no chat template is applied.
    """
    given = row.get(TOOLS)
    if not given or given != given or isinstance(row.get("prompt", row.get("messages", "")), str):
        return None
    try:
        listed = list_of(given)
        found = json.loads(listed) if isinstance(listed, str) else listed
        if found is None:
            return None
        if isinstance(found, list):
            found = [json.loads(tool) if isinstance(tool, str) else tool for tool in found]
            if all(isinstance(tool, dict) for tool in found):
                return json.dumps(found) if found else None
    except (ValueError, TypeError, RecursionError):
        pass
    raise TrainingError(
        f"{where}: its tools are not a list of objects, nor JSON of one; fix the row, or leave the column out"
    )


def _unchanged(row: Mapping[str, Any], number: int, columns: Sequence[str]) -> Row:
    """Keep the columns of the method, and name the row."""
    names = [str(row[key]) for key in _IDS if row.get(key)]
    kept = {key: bool(row[key]) if key == "label" else row[key] for key in columns}
    kept["instruction_id"] = _instruction_id(row) or digest(row[columns[0]])
    return kept | {ROW_NAME: " ".join(names) or str(number)}


def method_rows(
    preferences: Iterable[Preference], method: Method, config: PreferencesConfig
) -> Iterator[tuple[Row, None]]:
    """Derive the rows of a training method from labelled answers.

    Args:
        preferences: Labelled answers, grouped by suite.
        method: Training method: kto takes all, sft the chosen ones, dpo balanced pairs.
        config: How dpo's pairs are formed.

    Yields:
        Rows in TRL's format, named by their samples, and no tools.
    """
    kinds: dict[Method, Callable[[Iterable[Preference]], Iterator[Row]]]
    kinds = {"kto": kto_rows, "sft": sft_rows, "dpo": lambda rows: dpo_rows(rows, config)}
    for row in kinds[method](preferences):
        kept = {key: value for key, value in row.items() if key not in _IDS}
        yield kept | {ROW_NAME: " ".join(row[key] for key in _IDS if key in row)}, None


def _instruction_id(row: Mapping[str, Any]) -> Any:
    """Return the row's own instruction id, if any; as a string unless it is a string or a number. NaN is none."""
    given = row.get("instruction_id")
    if not given or given != given:
        return None
    return given if isinstance(given, str | int) else str(given)


def preference_of(row: Mapping[str, Any], number: int, where: str, tools: str | None = None) -> Preference:
    """Convert a labelled row of a dataset, which names no suite.

    All answers to one prompt with the same tools count as answers to one suite.

    Args:
        row: Row with prompt, completion and label.
        number: Position of the row, from 0.
        where: Where the row is, for messages.
        tools: Tools of the conversation, as JSON.

    Returns:
        The labelled answer.

    Raises:
        TrainingError: The completion is a conversation of several turns.
    """
    prompt: Prompt = row["prompt"]
    completion = row["completion"]
    if not isinstance(completion, str):
        if len(completion) != 1:
            raise TrainingError(
                f"{where}: its completion is a conversation of {len(completion)} turns, and must be "
                "one answer; provide pairs of prompt, chosen and rejected"
            )
        completion = completion[0].get("content", "")
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
