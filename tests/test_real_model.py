"""The main job on the real small model: what `scripts/quickstart` does, in small. The model writes the samples; the
suite is scripted, since whether a model's own tests agree with its solution turns on the last bits of its numbers."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from plum_hub.engines.weights import SIZES, default_destination, is_whole
from tests.rehearsal import plum_hub, rows

MODEL = default_destination() / SIZES["0.5b"].folder
TASK = (
    "Write a Python function `garden_area(length, width)` that returns the area of a rectangular garden bed. "
    "`garden_area(3, 4)` returns `12`, `garden_area(5, 0)` returns `0`, `garden_area(2, 6)` returns `12`."
)
SUITE = """### Starter code
```python
def garden_area(length: int, width: int) -> int:
    pass
```

### Solution
```python
def garden_area(length: int, width: int) -> int:
    return length * width
```

### Tests
```python
assert garden_area(3, 4) == 12
assert garden_area(5, 0) == 0
assert garden_area(2, 6) == 12
```
"""


@pytest.mark.model
@pytest.mark.skipif(not is_whole(MODEL), reason="the 0.5B model is not here: scripts/fetch-model 0.5b")
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed: scripts/setup cpu")
def test_a_build_with_the_real_model(tmp_path: Path) -> None:
    tasks, generator = tmp_path / "tasks.jsonl", tmp_path / "generator.jsonl"
    tasks.write_text(json.dumps({"instruction": TASK}) + "\n")
    generator.write_text(json.dumps({"texts": [SUITE]}) + "\n")
    settings = [
        "suites.responses=1",
        "samples.per_instruction=6",
        "samples.temperature=0.5",
        "samples.max_tokens=160",
        "decontamination.benchmarks=[]",
    ]
    done = plum_hub(
        [
            sys.executable, "-m", "plum_hub", "build-dataset", "--model", f"vllm:{MODEL}",
            "--generator", f"scripted:{generator}", "--instructions", str(tasks),
            "--run", str(tmp_path / "run"), "--hub", "none", "--json",
            *[part for setting in settings for part in ("--set", setting)],
        ],
        OPENAI_API_KEY="",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not {"Triton", "NUMA", "Warning", "WARNING"} & set(re.findall(r"\w+", done.stderr)), done.stderr
    result = json.loads(done.stdout)
    samples, verdicts = rows(tmp_path / "run", "samples"), rows(tmp_path / "run", "verdicts")
    assert {row["sample_id"] for row in verdicts} == {row["id"] for row in samples}
    assert (len(samples), result["rows"]["suites"]) == (6, 1)
    assert result["chosen"] > 0
    assert all(str(row["engine"]).startswith("vllm ") for row in samples)
    tree = tmp_path / "run" / "release" / "dataset"
    card = (tree / "README.md").read_text()
    weights = json.loads((MODEL / "plum-weights.json").read_text())["weights"]
    assert " ".join(weights.split()) in " ".join(card.split())
    assert json.loads((tree / "manifest.json").read_text())["lineage"]["policy"]["identity"]["engine"] == "vllm"
