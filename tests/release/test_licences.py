import pytest

from plum_hub.release.licences import inherited


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["mit"], "mit"),
        (["MIT", "Apache-2.0"], "apache-2.0"),
        (["mit", "CC BY-NC-SA 4.0", "apache-2.0"], "cc-by-nc-sa-4.0"),
        (["cc-by-nc-4.0", "cc-by-4.0"], "cc-by-nc-4.0"),
        (["mit", None], "other"),
        (["mit", "my own terms"], "other"),
        (["cc-by-sa-4.0", "cc-by-nc-4.0"], "other"),
        ([], "other"),
    ],
)
def test_the_whole_comes_under_the_strictest_licence_or_under_none(names: list[str | None], expected: str) -> None:
    assert inherited(names).id == expected


def test_the_reason_says_what_the_licence_asks() -> None:
    assert "non-commercial" in inherited(["cc-by-nc-4.0", "mit"]).why
    assert "not known" in inherited([None]).why


def test_a_non_commercial_source_is_named_beside_an_unknown_one() -> None:
    assert "non-commercial" in inherited([None, "cc-by-nc-4.0"]).why
