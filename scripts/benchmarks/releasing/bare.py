"""The peer: the same Parquet files from the same JSON lines, by the standard library and pyarrow, in one commit.

It checks nothing, counts nothing, writes no card and reads nothing back. Verdicts lie in the order of the samples, so
it need not look them up. Usage: bare.py RUN FOLDER REPO; HF_ENDPOINT and HF_TOKEN name the Hub.
"""

# ruff: noqa: TID253 - a script of its own
import json
import sys
import time
from collections.abc import Iterator
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from huggingface_hub import CommitOperationAdd, HfApi
from pyarrow import parquet

GROUP, FILE = 2_000, 250_000
TEXT = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
OUTCOMES = pa.list_(pa.struct([("outcome", pa.string()), ("detail", pa.string()), ("judged", pa.string())]))
CASES = pa.list_(
    pa.struct(
        [(name, pa.float64() if name == "tolerance" else pa.string())
         for name in ("kind", "call", "expected", "tolerance", "statement", "stdin", "stdout")]
    )
)  # fmt: skip
SPECIAL = {
    "prompt": TEXT, "completion": TEXT, "chosen": TEXT, "rejected": TEXT, "cases": OUTCOMES, "label": pa.bool_(),
    "index": pa.int64(), "seed": pa.int64(), "prompt_tokens": pa.int64(), "completion_tokens": pa.int64(),
    "cpu_seconds": pa.float64(), "peak_memory_mb": pa.float64(),
}  # fmt: skip
COLUMNS = {
    "kto": "prompt completion label instruction_id sample_id",
    "dpo": "prompt chosen rejected instruction_id chosen_sample_id rejected_sample_id",
    "sft": "prompt completion instruction_id sample_id",
    "samples": "sample_id instruction_id suite_id index seed prompt_digest text code finish_reason prompt_tokens "
    "completion_tokens verdict_id status cases detail cpu_seconds peak_memory_mb output",
    "test_suites": "suite_id instruction_id instruction source source_revision source_row license response_id "
    "entry_point starter_code cases reference",
    "dropped": "id stage reason instruction_id detail",
}


def lines(run: Path, kind: str) -> Iterator[dict[str, Any]]:
    with (run / "shards" / "00000" / f"{kind}.jsonl").open("rb") as file:
        yield from map(json.loads, file)


def preferences(run: Path) -> Iterator[dict[str, Any]]:
    for row in lines(run, "preferences"):
        row["completion"] = [{"role": "assistant", "content": row["completion"]}]
        yield row


def pairs(run: Path) -> Iterator[dict[str, Any]]:
    for _, rows in groupby(preferences(run), key=lambda row: row["suite_id"]):
        kept = list(rows)
        chosen, rejected = ([row for row in kept if row["label"] is label] for label in (True, False))
        for better, worse in zip(chosen, rejected, strict=False):
            ids = {"chosen_sample_id": better["sample_id"], "rejected_sample_id": worse["sample_id"]}
            yield better | ids | {"chosen": better["completion"], "rejected": worse["completion"]}


def samples(run: Path) -> Iterator[dict[str, Any]]:
    for sample, verdict in zip(lines(run, "samples"), lines(run, "verdicts"), strict=True):
        yield verdict | sample | {"sample_id": sample["id"], "verdict_id": verdict["id"]}


def suites(run: Path) -> Iterator[dict[str, Any]]:
    for task, suite in zip(lines(run, "instructions"), lines(run, "suites"), strict=True):
        told = {"instruction": task["text"], "source_revision": task["revision"], "source_row": task["row"]}
        yield task | suite | told | {"suite_id": suite["id"]}


def write(folder: Path, config: str, rows: Iterator[dict[str, Any]]) -> None:
    special = SPECIAL | ({"cases": CASES} if config == "test_suites" else {})
    schema = pa.schema([(name, special.get(name, pa.string())) for name in COLUMNS[config].split()])
    (folder / config).mkdir()
    for number, first in enumerate(rows):
        part = chain([first], islice(rows, FILE - 1))
        with parquet.ParquetWriter(folder / config / f"train-{number:05}.parquet", schema, compression="zstd") as file:
            while group := list(islice(part, GROUP)):
                file.write_table(pa.Table.from_pylist(group, schema), row_group_size=GROUP)


def main() -> None:
    run, folder, repo = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    start = time.perf_counter()
    write(folder, "kto", preferences(run))
    write(folder, "dpo", pairs(run))
    write(folder, "sft", (row for row in preferences(run) if row["label"]))
    write(folder, "samples", samples(run))
    write(folder, "test_suites", suites(run))
    write(folder, "dropped", lines(run, "dropped"))
    written = time.perf_counter()
    api = HfApi()
    api.create_repo(repo, repo_type="dataset")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    operations = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in files]
    api.create_commit(repo, operations, commit_message="bare", repo_type="dataset")
    size = sum(path.stat().st_size for path in files)
    print(json.dumps({"write": written - start, "upload": time.perf_counter() - written, "bytes": size}))


if __name__ == "__main__":
    main()
