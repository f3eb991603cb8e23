"""The paper's numbers: as printed, whole, and with a note wherever a printed number does not follow from the others."""

import pytest

from plum_hub.recipes.published import PublishedTable, published

MEANS = {"mean_base": ("mbpp", "humaneval"), "mean_plus": ("mbpp+", "humaneval+")}
MEANS["mean"] = MEANS["mean_base"] + MEANS["mean_plus"]


def test_every_table_is_there() -> None:
    found = published()
    assert [table.id for table in found.tables] == [f"table{number}" for number in range(1, 7)]
    assert [len(table.rows) for table in found.tables] == [3, 10, 8, 4, 3, 3]
    assert [figure.id for figure in found.figures] == ["figure2", "figure3"]
    policies = {row.policy for table in found.tables for row in table.rows if row.policy}
    assert len(policies) == 11


def test_a_row_is_found_by_its_recipe_and_by_its_model() -> None:
    found = published().of_recipe("paper/table2/codeqwen1.5-7b-chat")
    assert found is not None
    table, row = found
    assert [table.value(row, arm, "humaneval+") for arm in ("baseline", "kto", "dpo")] == [78.7, 81.1, None]
    assert published().of_recipe("starter") is None
    rows = published().of_model("Qwen/CodeQwen1.5-7B-Chat", "oss-instruct")
    assert [table.id for table, _ in rows] == ["table2", "table4"]
    with pytest.raises(KeyError):
        published().table("table7")


def test_rows_of_several_tables_agree() -> None:
    """Tables 5 and 6 repeat the baselines and the KTO rows of Table 2."""
    second = {row.policy: row.results for row in published().table("table2").rows}
    for name in ("table5", "table6"):
        for row in published().table(name).rows:
            for arm in ("baseline", "kto"):
                assert row.results[arm][:4] == second[row.policy][arm], (name, row.policy)


@pytest.mark.parametrize("table", published().tables, ids=lambda table: table.id)
def test_what_does_not_follow_is_noted(table: PublishedTable) -> None:
    notes = " ".join(table.notes)
    for row in table.rows:
        for arm, values in row.relative.items():
            for before, after, printed in zip(row.results["baseline"], row.results[arm], values, strict=True):
                if before and abs(100 * (after - before) / before - printed) > 0.11:
                    assert row.policy in notes, (row.policy, printed)
        for arm, values in row.results.items():
            scores = dict(zip(table.columns, values, strict=True))
            for mean, of in MEANS.items():
                if mean in scores and abs(sum(scores[one] for one in of) / len(of) - scores[mean]) > 0.06:
                    assert mean in notes, (row.policy, arm, mean)
