"""The tree as users load it: `datasets` reads the card's front matter and finds every config."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from plum_hub.cards import DatasetFacts, dataset_card
from plum_hub.release.manifest import ReleaseCounts
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.release.schemas import CONFIGS, columns
from plum_hub.release.tree import write_tree
from tests.release.rows import contents, lineage

LOAD = """
import json, sys
from datasets import get_dataset_config_names, load_dataset

seen = {}
for folder in sys.argv[1:]:
    default = load_dataset(folder, split="train")
    seen[folder] = {"": [default.column_names, default.num_rows, None]}
    for config in get_dataset_config_names(folder):
        rows = load_dataset(folder, config, split="train")
        # Read to its end: pyarrow aborts at exit while its threads still read a stream that was left early.
        assert list(load_dataset(folder, config, split="train", streaming=True)) == rows.to_list()
        seen[folder][config] = [rows.column_names, rows.num_rows, rows[0]]
print(json.dumps(seen))
"""


def test_every_config_loads_by_its_name_and_kto_by_default(tmp_path: Path) -> None:
    def card(counts: ReleaseCounts) -> str:
        return dataset_card(
            DatasetFacts(
                repo="local/plum-x",
                tag="v1.0.0",
                pretty_name="PLUM x",
                lineage=lineage(),
                counts=counts,
                rule=PreferencesConfig(),
            )
        )

    chat, plain = tmp_path / "chat", tmp_path / "plain"
    manifests = {
        chat: write_tree(chat, contents(card=card)),
        plain: write_tree(plain, contents(card=card, prompt="def add(a, b):\n", dropped=[])),
    }
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD, *map(str, manifests)], env=environment, capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    seen: dict[str, dict[str, Any]] = json.loads(loaded.stdout)
    for folder, manifest in manifests.items():
        configs = seen[str(folder)]
        assert configs[""][:2] == configs["kto"][:2]
        assert set(configs) - {""} == set(manifest.counts.rows)
        for config in manifest.counts.rows:
            names, rows, _ = configs[config]
            assert names == [column.name for column in columns(config, conversational=manifest.counts.conversational)]
            assert rows == manifest.counts.rows[config]
    assert set(seen[str(chat)]) == {"", *CONFIGS}
    assert seen[str(chat)]["kto"][2]["prompt"] == [{"role": "user", "content": "Write `add`."}]
    assert seen[str(plain)]["dpo"][2]["prompt"] == "def add(a, b):\n"
    assert [case["expected"] for case in seen[str(chat)]["test_suites"][2]["cases"]] == ["3", "0.3", None]
