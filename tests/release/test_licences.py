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
        (["GPL 3.0", "gpl-3.0"], "gpl-3.0"),
        (["gpl-3.0", "mit"], "other"),
        (["gpl-3.0", None], "other"),
        (["my own terms", "my own terms"], "other"),
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


def test_terms_that_are_not_compared_are_named() -> None:
    why = inherited(["mit", "gpl-3.0", "llama3.2"]).why
    assert why.startswith("plum-hub does not compare the terms of gpl-3.0, llama3.2 with others'. So no licence")
    assert "not known" not in why
    assert "keep the licence text" in why
    assert "does not compare the terms of gpl-3.0" in (both := inherited(["gpl-3.0", None]).why)
    assert "not known" in both
    for name in ("other", "Unknown", " "):
        assert inherited([name]) == inherited([None])
