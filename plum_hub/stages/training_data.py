"""Where the rows of a training come from: a run's own preferences, a release, or anybody's unpaired preferences."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plum_hub.engines.transformers import TransformersConfig
from plum_hub.engines.vllm import VllmConfig
from plum_hub.errors import TrainingError
from plum_hub.hubs.client import choose_target, connected, fetch_repo
from plum_hub.lines import whole_lines
from plum_hub.records import Preference, Prompt, digest
from plum_hub.release.views import dpo_rows, kto_rows, sft_rows
from plum_hub.run import Run
from plum_hub.training.lengths import NAME, Row
from plum_hub.training.settings import Method

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_COLUMNS: dict[Method, tuple[str, ...]] = {
    "kto": ("prompt", "completion", "label"),
    "dpo": ("prompt", "chosen", "rejected"),
    "sft": ("prompt", "completion"),
}


@dataclass(frozen=True)
class Writer:
    """The model that wrote the samples. `model` is where it is found here, None where only its name is known."""

    name: str
    revision: str
    model: str | None


@dataclass(frozen=True)
class Data:
    """Rows to train on, in TRL's format for one method."""

    name: str
    revision: str
    rows: Sequence[Row]
    writer: Writer | None
    """None where nobody says who wrote them."""
    public: bool = field(default=False)
    """Whether `name` is a repository on a Hub."""

    def facts(self) -> dict[str, Any]:
        """What names the rows exactly."""
        content = hashlib.sha256()
        for row in self.rows:
            content.update(json.dumps(row, sort_keys=True).encode())
        return {"name": self.name, "revision": self.revision, "rows": len(self.rows), "sha256": content.hexdigest()}


def read_data(source: str, method: Method, hub: str) -> Data:
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
        data = Data(path.name, revision, _in_form(_table([path]), method, source), None)
    elif _REPO.fullmatch(source.partition("@")[0]) and not path.exists():
        data = _of_repository(source, method, hub)
    else:
        raise TrainingError(
            f"{source}: is no run folder, no .jsonl or .parquet file, and no REPO@TAG; name what to train on"
        )
    if not data.rows:
        raise TrainingError(f"{source}: has no rows for {method}; build-dataset labels answers, and status counts them")
    return data


def _of_run(folder: Path, method: Method) -> Data:
    run = Run.open(folder)
    policy = run.recipe.policy
    model = policy.model if isinstance(policy, VllmConfig | TransformersConfig) else None
    writer = Writer(policy.public().model, policy.revision or "", model)
    rows = sorted(run.rows(Preference), key=lambda row: row.suite_id)
    seed = run.recipe.preferences.seed
    revision = "sha256:" + (folder / "recipe.sha256").read_text(encoding="ascii").strip()
    return Data(folder.resolve().name, revision, views(rows, method, seed), writer)


def _of_repository(source: str, method: Method, hub: str) -> Data:
    repo, _, revision = source.partition("@")
    with connected(choose_target(hub)) as target:
        folder = fetch_repo(repo, revision or "main", target)
    writer = None
    if (manifest := folder / "manifest.json").is_file():
        identity = json.loads(manifest.read_text(encoding="utf-8"))["lineage"]["policy"]["identity"]
        name = identity["model"]
        writer = Writer(name, identity["revision"], name if _REPO.fullmatch(name) else None)
    for config in (method, "kto"):
        if files := sorted((folder / config).glob("*.parquet")):
            return Data(repo, folder.name, _in_form(_table(files), method, source), writer, public=True)
    return Data(repo, folder.name, _in_form(_default_split(folder, source), method, source), writer, public=True)


def _default_split(folder: Path, source: str) -> Iterator[Row]:
    """The `train` split of a dataset that plum-hub did not make, as its card or its files lay it out."""
    from datasets import load_dataset

    try:
        rows = load_dataset(str(folder), split="train")
    except (ValueError, OSError) as error:
        raise TrainingError(f"{source}: does not load ({' '.join(str(error).split())[:200]}); name a file") from error
    yield from rows


def _table(files: Iterable[Path]) -> Iterator[Row]:
    """The rows of Parquet files, or of files of JSON lines."""
    from pyarrow import ArrowInvalid, parquet

    for path in files:
        try:
            if path.suffix == ".parquet":
                for batch in parquet.ParquetFile(path).iter_batches():
                    yield from batch.to_pylist()
            else:
                yield from (json.loads(line) for _, line in whole_lines(path))
        except (ValueError, ArrowInvalid) as error:
            raise TrainingError(f"{path}: is neither .parquet nor JSON lines ({error}); name another file") from error


def _in_form(table: Iterable[Any], method: Method, source: str) -> list[Row]:
    """Anybody's rows in TRL's format for a method: as they are where they have it, else made of labelled rows."""
    rows = list(table)
    have = set.intersection(*(set(row) if isinstance(row, dict) else set() for row in rows)) if rows else set()
    wanted, labelled = _COLUMNS[method], _COLUMNS["kto"]
    as_they_are = have >= set(wanted) and not (method == "sft" and "label" in have)
    if rows and not as_they_are and not have >= set(labelled):
        raise TrainingError(
            f"{source}: {method} needs in every row {', '.join(wanted)}{_instead(method, have)}; what every row has is "
            f"{', '.join(sorted(have)) or 'nothing'}"
        )
    _check_rows(rows, wanted if as_they_are else labelled, source)
    if as_they_are:
        return [_as_it_is(row, number, wanted) for number, row in enumerate(rows)]
    grouped = sorted(
        (preference_of(row, number, source) for number, row in enumerate(rows)), key=lambda row: row.suite_id
    )
    return views(grouped, method, 0)


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
    return isinstance(found, str)


def _is_conversation(found: object) -> bool:
    return (
        isinstance(found, list)
        and bool(found)
        and all(
            isinstance(turn, dict) and _is_text(turn.get("role")) and _is_text(turn.get("content")) for turn in found
        )
    )


def _as_it_is(row: Mapping[str, Any], number: int, wanted: Sequence[str]) -> Row:
    names = [str(row[key]) for key in ("sample_id", "chosen_sample_id", "rejected_sample_id") if row.get(key)]
    kept = {key: bool(row[key]) if key == "label" else row[key] for key in wanted}
    kept["instruction_id"] = row.get("instruction_id") or digest(row["prompt"])
    return kept | {NAME: " ".join(names) or str(number)}


def views(preferences: Sequence[Preference], method: Method, seed: int) -> list[Row]:
    """The rows of a method, from preferences that lie suite by suite."""
    kinds: dict[Method, Callable[[Iterable[Preference]], Iterator[Row]]]
    kinds = {"kto": kto_rows, "sft": sft_rows, "dpo": lambda rows: dpo_rows(rows, seed)}
    ids = ("sample_id", "chosen_sample_id", "rejected_sample_id")
    return [
        {key: value for key, value in row.items() if key not in ids}
        | {NAME: " ".join(row[key] for key in ids if key in row)}
        for row in kinds[method](preferences)
    ]


def preference_of(row: Mapping[str, Any], number: int, source: str) -> Preference:
    """A labelled row of a dataset, which names no suite: all answers to one prompt count as one suite's.

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
    name = digest(prompt)
    return Preference(
        id=str(number),
        instruction_id=row.get("instruction_id") or name,
        suite_id=name,
        sample_id=str(row.get("sample_id") or number),
        verdict_id="",
        prompt=prompt,
        completion=completion,
        label=bool(row["label"]),
    )
