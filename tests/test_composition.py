"""What a build says about settings that do nothing."""

from pathlib import Path

import pytest

from plum_hub.api.composition import RecipeArguments


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
