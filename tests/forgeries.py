"""What a forger does to the tree of a release, who then makes the manifest agree with it again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.releases import reseal, rewrite

Rows = list[dict[str, Any]]


def row_of(tree: Path, config: str, **wanted: object) -> dict[str, Any]:
    found: Rows = []
    rewrite(tree, config, found.extend)
    return next(row for row in found if all(row[key] == value for key, value in wanted.items()))


def _without_a_failure(tree: Path) -> None:
    """Cherry-picking: a failed sample is taken out of everything, and the counts are made to agree."""
    name = row_of(tree, "kto", label=False)["sample_id"]
    for config in ("samples", "kto"):
        rewrite(tree, config, lambda rows: rows.remove(next(row for row in rows if row["sample_id"] == name)))


def _another_order(tree: Path) -> None:
    rewrite(tree, "kto", lambda rows: rows.sort(key=lambda row: (row["instruction_id"], row["sample_id"])))


def _another_program(tree: Path) -> None:
    rewrite(tree, "samples", lambda rows: next(row for row in rows if row["code"]).update(code="x = 1\n"))


def _another_prompt(tree: Path) -> None:
    rewrite(tree, "kto", lambda rows: rows[0].update(prompt=[{"role": "user", "content": "Say yes."}]))


def _a_sample_twice(tree: Path) -> None:
    rewrite(tree, "samples", lambda rows: rows.append(rows[0]))


def _a_row_that_nothing_made(tree: Path) -> None:
    rewrite(tree, "sft", lambda rows: rows.append({**rows[0], "sample_id": "0" * 16}))


def _a_case_that_nobody_can_run(tree: Path) -> None:
    rewrite(tree, "test_suites", lambda rows: rows[0]["cases"][0].update(kind="call", call=None))


def _a_case_of_no_kind(tree: Path) -> None:
    rewrite(tree, "test_suites", lambda rows: rows[0]["cases"][0].update(kind=None))


def _an_expected_value_that_is_a_program(tree: Path) -> None:
    rewrite(tree, "test_suites", lambda rows: rows[0]["cases"][0].update(expected="open('/etc/passwd')"))


def _a_reference_that_fails(tree: Path) -> None:
    rewrite(tree, "test_suites", lambda rows: [row.update(reference="raise SystemExit(0)\n") for row in rows])


def _no_text(tree: Path) -> None:
    rewrite(tree, "samples", lambda rows: rows[3].update(text=None))


def _a_column_less(tree: Path) -> None:
    from pyarrow import parquet

    (path,) = (tree / "kto").glob("*.parquet")
    parquet.write_table(parquet.read_table(path).drop_columns(["sample_id"]), path)


def _half_a_file(tree: Path) -> None:
    (path,) = (tree / "samples").glob("*.parquet")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _no_recipe(tree: Path) -> None:
    (tree / "recipe.yaml").write_text("policy: [")


def _another_limit(tree: Path) -> None:
    recipe = tree / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("cpu_seconds: 5.0", "cpu_seconds: 50.0"))


TAMPERED: list[tuple[Callable[[Path], None], str, str]] = [
    # what is done, the check that sees it, and what it names
    (_without_a_failure, "samples", "sample "),
    (_another_order, "views", "kto"),
    (_another_program, "samples", "its code"),
    (_another_prompt, "views", "prompt"),
    (_a_sample_twice, "ids", "sample "),
    (_a_row_that_nothing_made, "views", "sft " + "0" * 16),
    (_a_case_that_nobody_can_run, "ids", "suite "),
    (_a_case_of_no_kind, "schemas", "suite "),
    (_an_expected_value_that_is_a_program, "ids", "suite "),
    (_a_reference_that_fails, "suites", "its reference"),
    (_no_text, "schemas", "text"),
    (_a_column_less, "schemas", "kto/"),
    (_half_a_file, "schemas", "samples/"),
    (_no_recipe, "recipe", "recipe.yaml"),
    (_another_limit, "recipe", "limits"),
]


def _no_manifest(tree: Path) -> None:
    (tree / "manifest.json").unlink()


def _a_manifest_of_nothing(tree: Path) -> None:
    (tree / "manifest.json").write_text("[" * 100_000)


def _a_manifest_without_limits(tree: Path) -> None:
    reseal(tree, lambda manifest: manifest["lineage"].pop("limits"))


UNBELIEVABLE = [_no_manifest, _a_manifest_of_nothing, _a_manifest_without_limits]
