"""Where rows come from: a run, its release on a Hub, and files; and which model may be trained on them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from plum_hub import recipe as recipes
from plum_hub.errors import EngineError, HubError, TrainingError
from plum_hub.hubs.client import HubTarget, PublishRequest, publish_repo
from plum_hub.hubs.embedded import EmbeddedHub
from plum_hub.records import Preference, digest
from plum_hub.release.schemas import Method
from plum_hub.run import Run
from plum_hub.training.data import read_data
from plum_hub.training.run import TrainingRequest, prepare
from plum_hub.training.settings import compose
from tests.engines.tiny import write_tiny_model
from tests.rehearsal import plum_hub, published, write_rehearsal
from tests.training import toy

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def run(tiny: Path, tmp_path: Path) -> Path:
    """A run whose policy is the tiny model, with the toy's preferences."""
    policy = {"type": "transformers", "model": str(tiny)}
    recipe = recipes.compose(None, "test", {"policy": policy}, []).filled().pinned("0")
    run = Run.create(tmp_path / "run", recipe)
    with run.appending(Preference) as append:
        for number, row in enumerate(toy.rows()):
            name = digest(row["prompt"])
            append(
                Preference(
                    id=str(number),
                    instruction_id=name,
                    suite_id=name,
                    sample_id=f"sample{number}",
                    verdict_id="",
                    prompt=row["prompt"],
                    completion=row["completion"][0]["content"],
                    label=row["label"],
                )
            )
    return run.folder


def test_a_run_trains_the_model_that_wrote_it(run: Path, tiny: Path) -> None:
    ready = prepare(TrainingRequest(str(run), None, None, compose(toy.SETTINGS)))
    assert ready.folder.path == run / "checkpoint"
    record = ready.record()
    assert record.on_policy is True
    assert record.model.revision == record.data.written_by.revision
    assert record.rows.instructions == 12
    assert ready.rows[0]["row"].startswith("sample")
    assert str(tiny) not in record.to_json()  # where a model lies is nobody's business
    other = prepare(TrainingRequest(str(run), None, None, compose(toy.SETTINGS, method="sft")))
    assert other.folder.path == run / "checkpoint-sft"
    assert len(other.rows) == 36


def test_another_model_needs_to_be_allowed(run: Path, tiny: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny, other)
    settings = compose(toy.SETTINGS)
    assert (
        prepare(TrainingRequest(str(run), str(other), None, settings)).record().on_policy is True
    )  # the very same bytes
    write_tiny_model(other, chat=True)
    (other / "generation_config.json").write_text('{"eos_token_id": 1}')
    with pytest.raises(TrainingError, match="pass --allow-off-policy, which is recorded"):
        prepare(TrainingRequest(str(run), str(other), None, settings))
    allowed = prepare(TrainingRequest(str(run), str(other), None, settings, allow_off_policy=True))
    assert allowed.record().on_policy is False


def test_a_model_that_has_changed_since_is_refused(tmp_path: Path, run: Path) -> None:
    sealed = Run.open(run).recipe
    moved = tmp_path / "moved"
    write_tiny_model(moved)
    (moved / "generation_config.json").write_text('{"eos_token_id": 1}')
    policy = sealed.policy.model_copy(update={"model": str(moved)})
    again = Run.create(tmp_path / "again", sealed.model_copy(update={"policy": policy}))
    shutil.copy(run / "shards" / "00000" / "preferences.jsonl", again.path(Preference))
    with pytest.raises(EngineError, match="has changed since this run began"):
        prepare(TrainingRequest(str(again.folder), None, None, compose(toy.SETTINGS)))


def test_a_release_has_the_rows_of_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    write_rehearsal(tmp_path)
    release = json.loads(plum_hub(published(tmp_path, "--json")).stdout)["release"]
    name = f"{release['repo']}@{release['tag']}"
    for method in ("kto", "dpo", "sft"):
        of_run, of_release = (read_data(source, method, "embedded") for source in (str(tmp_path / "run"), name))
        assert sorted(map(json.dumps, of_run.rows)) == sorted(map(json.dumps, of_release.rows))
        assert of_release.revision == release["commit"]
        assert of_release.policy is not None
        assert of_release.policy.revision == of_run.policy.revision  # type: ignore[union-attr]
    with pytest.raises(TrainingError, match="there is no model here to train: name one with --model"):
        prepare(TrainingRequest(name, None, None, compose([]), hub="embedded"))
    with pytest.raises(HubError):
        read_data(f"{release['repo']}@v9.9.9", "kto", "embedded")


def test_a_dataset_that_others_made_is_read_as_its_card_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Path
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    folder = tmp_path / "theirs"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(source, folder / "deep" / "part.jsonl")
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - {split: train, path: deep/*.jsonl}\n---\n"
    (folder / "README.md").write_text(card)
    with EmbeddedHub(tmp_path / "hub") as hub:
        target = HubTarget(hub.endpoint, hub.token)
        release = publish_repo(PublishRequest(folder=folder, repo="local/rows", tag="v1", message="one"), target)
        monkeypatch.setenv("HF_TOKEN", hub.token)
        data = read_data("local/rows@v1", "kto", hub.endpoint)
    assert (data.name, data.revision, data.policy) == ("local/rows", release.commit, None)
    mine = read_data(str(source), "kto", "auto").rows
    assert [row["completion"] for row in data.rows] == [row["completion"] for row in mine]


def test_files_give_every_method_its_rows(source: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = tmp_path / "rows.parquet"
    parquet.write_table(pa.Table.from_pylist(toy.rows()), table)
    counts: dict[Method, int] = {"kto": 72, "dpo": 36, "sft": 36}
    for method, count in counts.items():
        rows = read_data(str(source), method, "auto").rows
        assert len(rows) == count
        assert [row | {"instruction_id": ""} for row in rows] == [
            row | {"instruction_id": ""} for row in read_data(str(table), method, "auto").rows
        ]
    for pair in read_data(str(source), "dpo", "auto").rows:
        assert (pair["chosen"][0]["content"][:5], pair["rejected"][0]["content"][:3]) == ("a + b", "def")
    missing = toy.write(tmp_path / "missing.jsonl", [row | {"instruction_id": float("nan")} for row in toy.rows()])
    assert len({row["instruction_id"] for row in read_data(str(missing), "kto", "auto").rows}) == 12
    pairs = toy.write(tmp_path / "pairs.jsonl", [{"prompt": "a", "chosen": "b", "rejected": "c"}])
    assert read_data(str(pairs), "dpo", "auto").rows[0]["chosen"] == "b"
    with pytest.raises(TrainingError, match=r"nothing does not exist.*; name a run, a file or folder of rows"):
        read_data(str(tmp_path / "nothing"), "kto", "auto")


@pytest.mark.parametrize("method", ["kto", "dpo", "sft"])
@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"label": "no"}, 'l:2: its label is "no", and must be true or false'),
        ({"label": None}, "l:2: its label is null"),
        ({"prompt": None}, "l:2: prompt, completion must all be texts"),
        ({"completion": None}, "l:2: prompt, completion must all be texts"),
        ({"completion": []}, "l:2: prompt, completion must all be texts"),
        ({"completion": [{"text": "a + b"}]}, "l:2: prompt, completion must all be texts"),
        ({"prompt": "a", "completion": "b"}, "in this row as in the first"),
    ],
)
def test_a_row_that_is_not_like_the_others_is_refused(
    method: Method, odd: dict[str, Any], said: str, tmp_path: Path
) -> None:
    first, second, *rest = toy.rows()
    path = toy.write(tmp_path / "rows.jsonl", [first, second | odd, *rest])
    with pytest.raises(TrainingError, match=said):
        read_data(str(path), method, "auto")


def test_what_is_no_table_of_rows_is_refused(tmp_path: Path) -> None:
    pairs = toy.write(tmp_path / "pairs.jsonl", [{"prompt": "a", "chosen": "b", "rejected": "c"}])
    with pytest.raises(
        TrainingError, match=r"sft needs in every row .*rows are for --method kto or dpo.* every row has chosen, prompt"
    ):
        read_data(str(pairs), "sft", "auto")
    listed = tmp_path / "listed.jsonl"
    listed.write_text("[1, 2]\n")
    with pytest.raises(TrainingError, match=r"listed\.jsonl:1 is a JSON list, not an object"):
        read_data(str(listed), "sft", "auto")
    apart = toy.write(tmp_path / "apart.jsonl", [{"prompt": "a"}, {"completion": "b"}])
    with pytest.raises(TrainingError, match="or prompt, completion and label; every row has nothing"):
        read_data(str(apart), "sft", "auto")
    with pytest.raises(TrainingError, match="has no rows for kto"):
        read_data(str(toy.write(tmp_path / "empty.jsonl", [])), "kto", "auto")
    numbered = toy.write(tmp_path / "numbered.jsonl", [row | {"label": int(row["label"])} for row in toy.rows()])
    assert {row["label"] for row in read_data(str(numbered), "kto", "auto").rows} == {True, False}


def test_a_training_begun_in_bf16_says_so_on_a_cpu_that_is_slow_in_it(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "CUDA_VISIBLE_DEVICES": "",
    }.items():
        monkeypatch.setenv(name, value)
    auto = prepare(TrainingRequest(str(run), None, None, compose([*toy.SETTINGS, "precision=auto"]))).plan
    assert auto.resolved().precision == "fp32"
    assert "slow" not in auto.line()
    asked = prepare(TrainingRequest(str(run), None, None, compose([*toy.SETTINGS, "precision=bf16"]))).plan
    assert asked.resolved().precision == "bf16"
    assert "slow on this CPU" in asked.line()
    assert "--set precision=fp32 --out DIR" in asked.line()
