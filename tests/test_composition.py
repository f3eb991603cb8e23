"""What a build says about settings that do nothing, and about suites of a dataset whose version is not named."""

from pathlib import Path

import pytest

from plum_hub.api.composition import RecipeArguments, suites_sections
from plum_hub.errors import UsageError
from plum_hub.hubs.store import repo_folder
from tests.rehearsal import set_home


@pytest.mark.parametrize(
    ("suites", "settings", "words"),
    [
        ("me/weak@v1.0.0", ["suites.vote=true"], "suites.vote: no effect"),
        ("me/weak@v1.0.0", ["suites.vote=true", "suites.strengthen=3"], "suites.vote, suites.strengthen: no effect"),
        ("me/weak@v1.0.0", ["suites.strengthen=3"], "plum-hub strengthen me/weak@v1.0.0"),
        ("rows", ["suites.vote=true"], "no generator writes any"),
        ("me/weak@v1.0.0", ["suites.vote=false", "suites.strengthen=0", "suites.strength=true"], None),
        ("rows", ["suites.strengthen=3"], None),
        ("generate", ["suites.vote=true", "suites.strengthen=3"], None),
    ],
)
def test_settings_without_effect_are_named_in_one_line(
    tmp_path: Path, suites: str, settings: list[str], words: str | None
) -> None:
    model = f"scripted:{tmp_path / 'answers.jsonl'}"
    said: list[str] = []
    arguments = RecipeArguments(
        recipe=None, model=model, generator=model, instructions=None, suites=suites, hub="auto",
        settings=tuple(settings),
    )  # fmt: skip
    arguments.compose(tmp_path / "run", said.append)
    assert len(said) == (words is not None)
    assert (words or "") in "".join(said)
    assert "\n" not in "".join(said)


def test_a_dataset_of_the_embedded_hub_needs_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_home(monkeypatch, tmp_path)
    assert suites_sections("local/weak", "auto")["suites"]["source"] == "rows"  # of the public Hub
    repo_folder(tmp_path / "home" / "hub", "dataset", "local/weak").mkdir(parents=True)
    for hub in ("auto", "embedded"):
        with pytest.raises(UsageError, match=r"name its version, as in  --suites local/weak@v1\.0\.0"):
            suites_sections("local/weak", hub)
    assert suites_sections("local/weak@v1.0.0", "auto")["suites"] == {"source": "local/weak@v1.0.0", "hub": "auto"}
    for text, hub in (("local/weak", "public"), ("local/weak:tests", "auto"), ("local/other", "auto")):
        assert suites_sections(text, hub)["suites"]["source"] == "rows"
