"""Releases as their users load them: `plum_hub.load`, and the libraries that they have beside it, each in a process of
its own against a real Hub on loopback."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plum_hub.release.schemas import CONFIGS
from tests.engines.tiny import write_tiny_model
from tests.releases import REPO, Releases, two_versions

LOAD = """
import json, sys
import plum_hub
from plum_hub.errors import PlumError

def loaded(repo, config, version, hub):
    try:
        rows = plum_hub.load(repo, config, version or None, hub)
        return [type(rows).__module__, rows.to_list()]
    except PlumError as error:
        return [type(error).__name__, str(error)]

print(json.dumps([loaded(*asked) for asked in json.loads(sys.argv[1])]))
"""


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    yield two_versions(tmp_path_factory.mktemp("loading"), "--set", "verdicts.mypy_codes=[]")


def published_rows(releases: Releases, config: str, version: str) -> list[dict[str, object]]:
    from pyarrow import parquet

    rows: list[dict[str, object]] = []
    for path in sorted((releases.tree(version) / config).glob("*.parquet")):
        rows += parquet.read_table(path).to_pylist()
    assert rows
    return rows


def all_loaded(releases: Releases, *asked: tuple[str, str, str, str], **environment: str) -> list[list[Any]]:
    """What came of each call of `plum_hub.load`, all in one process."""
    done = releases.python(LOAD, json.dumps(asked), **environment)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def loaded(releases: Releases, version: str, hub: str, **environment: str) -> list[Any]:
    return all_loaded(releases, (REPO, "kto", version, hub), **environment)[0]


def test_importing_plum_hub_imports_nothing_heavy(releases: Releases) -> None:
    code = (
        "import sys; import plum_hub\n"
        "print(sorted(set(sys.modules) & {'plum_hub.loading', 'datasets', 'huggingface_hub', 'json', 'pyarrow'}))\n"
        "try: plum_hub.nothing\nexcept AttributeError as error: print(error)\n"
        "from plum_hub import load; print(load.__module__, 'datasets' in sys.modules)"
    )
    said = releases.python(code).stdout.splitlines()
    assert said == ["[]", "module 'plum_hub' has no attribute 'nothing'", "plum_hub.loading False"]


def test_a_version_is_exactly_what_was_published(releases: Releases) -> None:
    asked = [(REPO, config, version, "auto") for config in CONFIGS for version in releases.commits]
    asked.append((REPO, "kto", releases.commits["v1.0.0"], "auto"))
    found = all_loaded(releases, *asked)
    assert found.pop() == found[0]
    for (_, config, version, _), rows in zip(asked, found, strict=False):
        assert rows == ["datasets.arrow_dataset", published_rows(releases, config, version)], (config, version)


def test_what_is_not_there(releases: Releases) -> None:
    expected = {
        (REPO, "orpo", "v1.0.0"): "no config 'orpo'; name one of: dpo, dropped, kto, samples, sft, test_suites",
        (REPO, "../kto", "v1.0.0"): "no config '../kto'",
        (REPO, "kto", "v9.9.9"): "no version v9.9.9; name one of: v1.0.0, v1.1.0",
        (REPO, "kto", "main"): "no version main",
        (REPO, "kto", "0" * 40): "has no such revision",
        (REPO, "kto", ""): f'which version? Name a tag or a commit, as in  plum_hub.load("{REPO}", "kto", "v1.0.0")',
        ("local/nobody", "kto", "v1.0.0"): "no dataset local/nobody",
        ("numbers", "kto", "v1.0.0"): "numbers: write it as NAMESPACE/NAME",
    }
    found = all_loaded(releases, *((*asked, "embedded") for asked in expected))
    for (asked, message), (kind, said) in zip(expected.items(), found, strict=True):
        assert kind == ("HubError" if asked[2] and "/" in asked[0] else "UsageError")
        assert message in said


def test_without_the_network_a_version_is_itself_or_an_error(releases: Releases, tmp_path: Path) -> None:
    home = {"PLUM_HUB_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf")}
    with releases.hub() as hub:
        address = hub.endpoint
        online = loaded(releases, "v1.0.0", address, HF_TOKEN=hub.token, **home)
    offline = {**home, "HF_HUB_OFFLINE": "1"}
    assert online[1] == published_rows(releases, "kto", "v1.0.0")
    assert loaded(releases, "v1.0.0", address, **offline) == online
    assert loaded(releases, releases.commits["v1.0.0"], address, **offline) == online
    kind, message = loaded(releases, "v1.1.0", address, **offline)
    assert (kind, "local/numbers@v1.1.0 was never loaded here" in message) == ("HubError", True)
    kind, message = loaded(releases, releases.commits["v1.1.0"], address, **offline)
    assert (kind, "at this very commit is not in the cache" in message) == ("HubError", True)


def test_only_the_config_that_is_asked_for_comes(releases: Releases, tmp_path: Path) -> None:
    home = {"PLUM_HUB_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf")}
    with releases.hub() as hub:
        address = hub.endpoint
        assert loaded(releases, "v1.0.0", address, HF_TOKEN=hub.token, **home)[1]
    [snapshot] = (tmp_path / "hf").glob("hub/datasets--*/snapshots/*")
    assert {path.name for path in snapshot.iterdir()} == {"kto", "manifest.json"}
    offline = all_loaded(
        releases, *((REPO, config, "v1.0.0", address) for config in ("kto", "sft")), HF_HUB_OFFLINE="1", **home
    )
    assert offline[0][1] == published_rows(releases, "kto", "v1.0.0")
    assert "is not in the cache" in offline[1][1], "not: there is no such config"


def test_a_tag_that_was_moved_is_noticed(releases: Releases, tmp_path: Path) -> None:
    home = {"PLUM_HUB_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf")}
    move = (
        "import sys; from huggingface_hub import HfApi; api = HfApi()\n"
        "api.delete_tag(sys.argv[1], repo_type='dataset', tag='v1.0.0')\n"
        "api.create_tag(sys.argv[1], repo_type='dataset', tag='v1.0.0', revision=sys.argv[2])\n"
    )
    with releases.hub() as hub:
        client = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": hub.token}
        first = loaded(releases, "v1.0.0", hub.endpoint, HF_TOKEN=hub.token, **home)
        assert releases.python(move, REPO, releases.commits["v1.1.0"], **client).returncode == 0
        try:
            kind, message = loaded(releases, "v1.0.0", hub.endpoint, HF_TOKEN=hub.token, **home)
            still = loaded(releases, releases.commits["v1.0.0"], hub.endpoint, HF_TOKEN=hub.token, **home)
        finally:
            assert releases.python(move, REPO, releases.commits["v1.0.0"], **client).returncode == 0
    assert kind == "HubError"
    assert f"is commit {releases.commits['v1.1.0']} now, and was {releases.commits['v1.0.0']}" in message
    assert still == first


def test_what_is_remembered_may_be_damaged(releases: Releases, tmp_path: Path) -> None:
    (tmp_path / "versions.jsonl").write_text("{}\n")
    with releases.hub() as hub:
        kind, message = loaded(releases, "v1.0.0", hub.endpoint, HF_TOKEN=hub.token, PLUM_HUB_HOME=str(tmp_path))
    assert kind == "RunError"
    assert "versions.jsonl:1: is damaged; delete this line" in message


def test_load_dataset_whole_and_streamed(releases: Releases) -> None:
    code = (
        "import json, sys; from datasets import load_dataset\n"
        "whole = load_dataset(sys.argv[1], 'kto', revision=sys.argv[2], split='train')\n"
        "streamed = load_dataset(sys.argv[1], 'kto', revision=sys.argv[2], split='train', streaming=True)\n"
        "print(json.dumps([whole.to_list(), list(streamed)]))"
    )
    with releases.hub() as hub:
        for version in ("v1.0.0", "v1.1.0"):
            done = releases.python(code, REPO, version, HF_ENDPOINT=hub.endpoint)
            assert done.returncode == 0, done.stderr
            rows = published_rows(releases, "kto", version)
            assert json.loads(done.stdout) == [rows, rows]


QUERIES = {
    "datasets": "from datasets import Dataset\nrows = Dataset.from_parquet(files).to_list()",
    "duckdb": (
        "import duckdb\n"
        "found = duckdb.execute('SELECT sample_id, label FROM read_parquet($1)', [files]).fetchall()\n"
        "rows = [dict(zip(('sample_id', 'label'), row)) for row in found]"
    ),
    "polars": "import polars\nrows = polars.read_parquet(files).to_dicts()",
}


@pytest.mark.parametrize("library", QUERIES)
def test_other_libraries_read_the_files(releases: Releases, library: str) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed: pip install {library}")
    code = (
        "import json, sys; from pathlib import Path; from huggingface_hub import snapshot_download\n"
        "folder = snapshot_download(sys.argv[1], repo_type='dataset', revision='v1.0.0')\n"
        "files = sorted(map(str, Path(folder).glob('kto/*.parquet')))\n"
        f"{QUERIES[library]}\n"
        "print(json.dumps([(row['sample_id'], row['label']) for row in rows]))"
    )
    with releases.hub() as hub:
        done = releases.python(code, REPO, HF_ENDPOINT=hub.endpoint)
    assert done.returncode == 0, done.stderr
    expected = [[row["sample_id"], row["label"]] for row in published_rows(releases, "kto", "v1.0.0")]
    assert json.loads(done.stdout) == expected


TRAIN = """
import json, sys
import plum_hub
from datasets import load_dataset
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

repo, hub, model = sys.argv[1:]
tokenizer, said = AutoTokenizer.from_pretrained(model), {}
trainers = {"kto": (KTOTrainer, KTOConfig), "dpo": (DPOTrainer, DPOConfig), "sft": (SFTTrainer, SFTConfig)}
for config, (Trainer, Config) in trainers.items():
    rows = plum_hub.load(repo, config, "v1.0.0", hub)
    by_datasets = load_dataset(repo, config, revision="v1.0.0", split="train")
    alike = (rows.features, rows.to_list()) == (by_datasets.features, by_datasets.to_list())
    arguments = Config(
        output_dir=model + "/out", max_steps=1, logging_steps=1, per_device_train_batch_size=2, max_length=4096,
        use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no", report_to=[], disable_tqdm=True,
    )
    trainer = Trainer(model, args=arguments, train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    loss = trainer.state.log_history[0]["loss"]
    said[config] = [alike, len(rows), len(trainer.train_dataset), loss]
print(json.dumps(said))
"""


def test_trl_trains_on_what_is_loaded_as_it_is(releases: Releases, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny")
    alone = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with releases.hub() as hub:
        client = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": hub.token}
        done = releases.python(TRAIN, REPO, hub.endpoint, str(tmp_path / "tiny"), **client, **alone)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    for config in ("kto", "dpo", "sft"):
        alike, loaded, prepared, loss = said[config]
        assert alike, config
        assert loaded == prepared == len(published_rows(releases, config, "v1.0.0"))
        assert math.isfinite(loss), config
        assert loss > 0, config
