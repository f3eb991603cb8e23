"""The main job on the real small model: what `scripts/quickstart` does, in small."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from plum_hub.engines.weights import SIZES, default_destination, is_whole
from tests.rehearsal import plum_hub, rows

MODEL = default_destination() / SIZES["0.5b"].folder
TASKS = [
    (
        "Write a Python function `garden_area(length, width)` that returns the area of a rectangular garden bed. "
        "`garden_area(3, 4)` returns `12`, `garden_area(5, 0)` returns `0`, `garden_area(2, 6)` returns `12`."
    ),
    (
        "Write a Python function `count_rainy(days)` that counts how often the text rain is in a list of words. "
        '`count_rainy(["rain", "sun", "rain"])` returns `2`, `count_rainy([])` returns `0`, `count_rainy(["snow"])` '
        "returns `0`."
    ),
    (
        "Write a Python function `ticket_price(age)`: children under 6 travel free (0), people up to 17 pay 5, others "
        "pay 9. `ticket_price(3)` returns `0`, `ticket_price(17)` returns `5`, `ticket_price(40)` returns `9`."
    ),
]


@pytest.mark.model
@pytest.mark.skipif(not is_whole(MODEL), reason="the 0.5B model is not here: scripts/fetch-model 0.5b")
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed: scripts/setup cpu")
def test_a_build_with_the_real_model(tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("".join(json.dumps({"instruction": text}) + "\n" for text in TASKS))
    settings = [
        "suites.temperature=0.3",
        "suites.max_tokens=400",
        "samples.per_instruction=4",
        "samples.max_tokens=256",
    ]
    done = plum_hub(
        [
            sys.executable, "-m", "plum_hub", "build-dataset", "--model", f"vllm:{MODEL}", "--instructions", str(tasks),
            "--run", str(tmp_path / "run"), "--hub", "none", "--json",
            *[part for setting in settings for part in ("--set", setting)],
        ],
        OPENAI_API_KEY="",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    samples, verdicts = rows(tmp_path / "run", "samples"), rows(tmp_path / "run", "verdicts")
    assert {row["sample_id"] for row in verdicts} == {row["id"] for row in samples}
    assert len(samples) == 4 * result["rows"]["suites"]
    assert result["chosen"] > 0
    assert all(str(row["engine"]).startswith("vllm ") for row in samples)
    tree = tmp_path / "run" / "release" / "dataset"
    card = (tree / "README.md").read_text()
    weights = json.loads((MODEL / "plum-weights.json").read_text())["weights"]
    assert " ".join(weights.split()) in " ".join(card.split())
    assert json.loads((tree / "manifest.json").read_text())["lineage"]["policy"]["identity"]["engine"] == "vllm"
