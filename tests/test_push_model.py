"""`plum-hub push-model`, and `verify` of what it published: a tiny model trained on a real run, a Hub on loopback."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from plum_hub.engines.revision import NOTE, folder_sha256
from plum_hub.engines.weights import SIZES
from plum_hub.errors import HubError, TrainingError, UsageError
from plum_hub.hubs.client import HubTarget, PublishRequest, publish_repo, tags
from plum_hub.hubs.embedded import EmbeddedHub
from plum_hub.loading import FetchedRelease
from plum_hub.progress import Progress
from plum_hub.publishing.model import ModelPublishRequest, push_model
from plum_hub.publishing.model_base import resolve_base
from plum_hub.publishing.model_checkpoint import open_checkpoint
from plum_hub.publishing.model_results import read_scores
from plum_hub.publishing.preview import read_card, write_tree
from plum_hub.publishing.repository import PublishOptions, Released
from plum_hub.records import Score
from plum_hub.release.model_lineage import BaseModelRef
from plum_hub.training.load_check import answer, compare
from plum_hub.training.run import TrainingRequest, prepare, train
from plum_hub.training.settings import compose
from plum_hub.verification.findings import MODEL_MEANINGS
from plum_hub.verification.model import ModelReport, verify_model
from plum_hub.verification.options import VerifyOptions
from plum_hub.verification.verify import verify
from tests.engines.tiny import write_tiny_model
from tests.rehearsal import plum_hub, published, write_rehearsal
from tests.releases import reseal
from tests.training import toy

pytestmark = pytest.mark.filterwarnings("default")  # what libraries warn of while they train is theirs

CLI = [sys.executable, "-m", "plum_hub"]
ADAPTER, MERGED = "local/coder", "local/coder-merged"


@dataclass(frozen=True)
class World:
    """A Hub with the dataset of a run and the adapters that were trained on it; `tree` is what was pushed."""

    folder: Path
    hub: EmbeddedHub
    adapter: Released
    tree: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / "run" / "checkpoint"

    @property
    def target(self) -> HubTarget:
        return HubTarget(self.hub.endpoint, self.hub.token, embedded=True)


def pushed(checkpoint: Path, repo: str | None = None, **more: Any) -> Released:
    return push_model(
        ModelPublishRequest(checkpoint=checkpoint, **more), PublishOptions(hub="embedded", repo=repo), Progress()
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("pushing-models")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
            patch.delenv(name, raising=False)
        for name, value in {"PLUM_HUB_HOME": "home", "HF_HOME": "hf"}.items():
            patch.setenv(name, str(folder / value))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        write_rehearsal(folder)
        done = plum_hub(published(folder, "-q", "--repo", "rows"))
        assert done.returncode == 0, done.stderr
        write_tiny_model(folder / "tiny", context=1024)
        chosen = ("max_length=4096", "merge=true", "learning_rate=5e-3", "batch_size=2", "epochs=3")
        settings = compose([*toy.SETTINGS, *chosen], method="kto")
        wanted = TrainingRequest(
            source=str(folder / "run"), model=str(folder / "tiny"), out=None, settings=settings, allow_off_policy=True
        )
        train(prepare(wanted), Progress())
        with EmbeddedHub() as hub:
            adapter = pushed(folder / "run", ADAPTER)
            yield World(folder, hub, adapter, Path(shutil.copytree(adapter.folder, folder / "tree")))


def repository(world: World, repo: str) -> Path:
    """Where the Hub keeps a model."""
    return world.folder / "home" / "hub" / "repos" / "models" / f"{repo}.git"


def git(world: World, repo: str, *arguments: str) -> str:
    """What git says of a model's repository."""
    command = ["git", "--git-dir", str(repository(world, repo)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_the_tree_says_where_it_comes_from_and_not_where_it_lay(world: World) -> None:
    tree = world.tree
    for path in tree.rglob("*"):
        if path.is_file():
            assert world.folder.name.encode() not in path.read_bytes(), path
    config = json.loads((tree / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("tiny", None)
    lineage = json.loads((tree / "manifest.json").read_text())["lineage"]
    release = json.loads((world.folder / "run" / "releases.jsonl").read_text())
    assert (lineage["data"]["repo"], lineage["data"]["tag"]) == ("local/rows", "v1.0.0")
    assert lineage["data"]["commit"] == release["commit"]
    card = (tree / "README.md").read_text()
    assert f"release `v1.0.0`, commit `{release['commit']}`" in card
    assert 'load_dataset("local/rows", "kto", split="train"' in card
    assert "**Off-policy**" in card
    assert "![loss](report/loss.png)" in card
    names = {path.name for path in tree.iterdir()}
    assert names >= {"adapter_model.safetensors", "tokenizer.json", "generation_config.json", "training.json", "report"}
    assert read_card(write_tree(world.checkpoint)).startswith("# coder\n"), "the card of its last release"


def test_the_same_is_one_version(world: World) -> None:
    again = pushed(world.checkpoint, ADAPTER)
    assert (again.tag, again.commit) == ("v1.0.0", world.adapter.commit)
    assert list(tags(ADAPTER, world.target, "model")) == ["v1.0.0"]
    assert len((world.checkpoint / "releases.jsonl").read_text().splitlines()) == 1


LOAD = """
import json, sys
from huggingface_hub import ModelCard
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

base, adapter, merged = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(adapter, revision="v1.0.0")
asked = tokenizer("def add(a, b):", return_tensors="pt")
plain = AutoModelForCausalLM.from_pretrained(base)
before = plain(**asked).logits
whole = AutoModelForCausalLM.from_pretrained(merged, revision="v1.0.0")(**asked).logits
adapted = PeftModel.from_pretrained(plain, adapter, revision="v1.0.0")(**asked).logits
for repo in (adapter, merged):
    ModelCard.load(repo).validate()
    assert GenerationConfig.from_pretrained(repo, revision="v1.0.0").eos_token_id == 2
print(json.dumps([(adapted - whole).abs().max().item(), (adapted - before).abs().max().item()]))
"""


def test_killed_before_the_tag_it_ends_with_one_release_and_both_load_in_a_fresh_process(world: World) -> None:
    command = [*CLI, "push-model", str(world.checkpoint), "--merged", "--hub", "embedded", "--repo", MERGED, "-q"]
    process = subprocess.Popen(command, start_new_session=True)
    while process.poll() is None and "manifest.json" not in git(world, MERGED, "ls-tree", "--name-only", "main"):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)  # the commit is there; before the tag it is loaded back
    assert process.wait() == -signal.SIGKILL
    commit = git(world, MERGED, "rev-parse", "main").strip()
    assert git(world, MERGED, "tag") == ""
    released = pushed(world.checkpoint, MERGED, weights="merged")
    assert (released.tag, released.commit) == ("v1.0.0", commit)
    assert [pushed(world.checkpoint, weights=weights).repo for weights in (None, "merged")] == [ADAPTER, MERGED]
    environment = {**os.environ, "HF_ENDPOINT": world.hub.endpoint}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(world.folder / "tiny"), ADAPTER, MERGED],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    apart, learnt = json.loads(done.stdout)
    assert apart < 1e-3 < 1e-2 < learnt


def test_a_proof_that_fails_leaves_no_tag(world: World, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# x\n")
    proof = (sys.executable, "-c", "import sys; sys.exit('it is another model')")
    request = PublishRequest(
        folder=tmp_path, repo="local/unproved", tag="v1.0.0", message="x", kind="model", proof=proof
    )
    with pytest.raises(HubError, match="it is another model; nothing was tagged"):
        publish_repo(request, world.target)
    assert tags("local/unproved", world.target, "model") == {}


def test_another_model_gives_other_answers(world: World) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(world.folder / "tiny")
    models = [
        AutoModelForCausalLM.from_pretrained(path) for path in (world.folder / "tiny", world.checkpoint / "merged")
    ]
    base, trained, again = (dict(answer(model, tokenizer)) for model in (*models, models[1]))
    assert compare(again, trained) == ([], 0.0)
    parted, largest = compare(trained, base)
    assert "the logits after prompt 1 differ" in parted
    assert largest > 0.01


def test_the_chain_agrees(world: World) -> None:
    order = VerifyOptions(repo=ADAPTER, version="v1.0.0", hub="embedded", sample=2, base=world.folder / "tiny")
    report = verify(order, Progress())
    assert isinstance(report, ModelReport)
    assert report.as_json()["disagreements"] == []
    assert report.agrees
    assert all(report.findings.compared[check] for check in MODEL_MEANINGS)
    assert report.dataset is not None
    assert (report.dataset.release.repo, report.dataset.judged) == ("local/rows", 2)


def edit(tree: Path) -> None:
    path = tree / "adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def forge_everything(tree: Path) -> None:
    """Weights that are none, rows that were not trained on, a policy that it was not; and files that agree with it."""
    (tree / "adapter_model.safetensors").write_bytes((tree / "tokenizer.json").read_bytes())
    path = tree / "training.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"data": facts["data"] | {"sha256": "0" * 64}, "on_policy": True}))

    def agree(manifest: dict[str, Any]) -> None:
        manifest["lineage"]["data"]["sha256"] = "0" * 64
        manifest["lineage"]["on_policy"] = True

    reseal(tree, agree)


@pytest.mark.parametrize(
    ("forge", "found"),
    [
        (edit, {"files": {"adapter_model.safetensors"}}),
        (
            forge_everything,
            {
                "weights": {"adapter_model.safetensors, bytes by its header"},
                "data": {"local/rows@v1.0.0, digest of the rows that kto reads"},
                "base": {"on-policy: whether the base sampled the dataset"},
            },
        ),
    ],
)
def test_a_forgery_is_found(
    world: World, tmp_path: Path, forge: Callable[[Path], None], found: dict[str, set[str]]
) -> None:
    tree = Path(shutil.copytree(world.tree, tmp_path / "tree"))
    forge(tree)
    commit = str(world.adapter.commit)
    release = FetchedRelease(
        repo=ADAPTER, version="v1.0.0", commit=commit, folder=tree, hub="embedded", tags={}, before=None, kind="model"
    )
    order = VerifyOptions(repo=ADAPTER, version="v1.0.0", hub="embedded", sample=1, commit=commit)
    report = verify_model(order, release, Progress())
    said: dict[str, set[str]] = {}
    for one in report.findings.listed:
        said.setdefault(one.check, set()).add(one.what)
    assert said == found
    assert not report.agrees


def score(model: str, revision: str, value: float) -> Score:
    return Score(
        benchmark="humaneval", revision="sha256:" + "f" * 64, suite="base", reading="official", metric="pass@1",
        value=value, stderr=0.1, problems=4, samples=1, model=model, model_revision=revision, engine="vllm 1",
        prompt="chat", prompt_digest="", extraction="fenced", temperature=0.0, top_p=1.0, max_tokens=768,
        harness="jail 1", date="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def evaluation(folder: Path, revision: str, solved: int) -> Path:
    """The folder of an evaluation of four problems."""
    counts = {f"p{number}": [1, int(number < solved)] for number in range(4)}
    outcome = {"revision": "sha256:" + "f" * 64, "counts": {"base": {"official": counts}}, "parts": {}}
    rows = [asdict(score(folder.name, revision, solved / 4))]
    found = {
        "benchmarks": {"humaneval": outcome["revision"]},
        "selection": {},
        "protocol": {},
        "harness": "jail 1",
        "date": "2026-01-01T00:00:00+00:00",
        "scores": rows,
        "outcomes": {"humaneval": outcome},
    }
    folder.mkdir()
    (folder / "scores.json").write_text(json.dumps(found))
    return folder


def test_only_scores_of_these_weights_and_their_base_are_shown(world: World, tmp_path: Path) -> None:
    trained = open_checkpoint(world.checkpoint, None)
    base_revision = trained.record.model.revision
    own = evaluation(tmp_path / "own", f"sha256:{folder_sha256(world.checkpoint / 'merged')}", 3)
    base = evaluation(tmp_path / "base", base_revision, 2)
    found = read_scores([own, base], trained, "coder")
    assert found.results is not None
    [gain] = found.results.gains
    assert (gain["first"], gain["second"]) == (0.5, 0.75)
    assert found.results.merged
    assert list(found.files) == ["humaneval.yaml"]
    assert found.results.index[0]["results"][0]["metrics"][0]["value"] == 75.0
    adapters = evaluation(tmp_path / "adapters", f"sha256:{folder_sha256(world.checkpoint)}", 3)
    direct = read_scores([adapters], trained, "coder").results
    assert direct is not None
    assert not direct.merged
    other = evaluation(tmp_path / "other", "sha256:" + "1" * 64, 3)
    for folders, said in (
        ([other], "neither this model"),
        ([own, own], "both evaluated the model"),
        ([base], "the model not"),
    ):
        with pytest.raises(UsageError, match=said):
            read_scores(folders, trained, "coder")


def test_a_base_in_a_folder_goes_by_the_name_that_the_world_knows(world: World, tmp_path: Path) -> None:
    trained = open_checkpoint(world.checkpoint, None)
    assert resolve_base(trained, None, "mit").facts == BaseModelRef(
        name="tiny", commit=None, revision=trained.record.model.revision, weights=None, license="mit"
    )
    base = Path(shutil.copytree(world.folder / "tiny", tmp_path / "base"))
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    row = {"repo": "me/round-1", "tag": "v1.0.0", "commit": "c" * 40, "license": "cc-by-4.0"}
    row["model"] = trained.record.model.revision
    (base / "releases.jsonl").write_text(json.dumps(row) + "\n")
    found = resolve_base(trained, str(base), None).facts
    assert (found.name, found.commit, found.license) == ("me/round-1", "c" * 40, "cc-by-4.0")
    known = SIZES["0.5b"]
    (base / NOTE).write_text(json.dumps({"model": known.repo, "weights": "dequantised from Q4_K_M GGUF"}))
    found = resolve_base(trained, str(base), None).facts
    assert (found.name, found.commit, found.license) == (known.repo, known.revision, "apache-2.0")
    assert found.weights == "dequantised from Q4_K_M GGUF"


def test_what_cannot_be_published_is_said_in_a_line(world: World, tmp_path: Path) -> None:
    def refusal(path: Path, **more: Any) -> str:
        with pytest.raises(TrainingError) as caught:
            pushed(path, "local/refused", **more)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "there is no such folder" in refusal(tmp_path / "gone")
    assert "is not a checkpoint of  plum-hub train" in refusal(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(world.checkpoint, copy, ignore=shutil.ignore_patterns("merged", "release"))
    assert "has no merged/ with a whole model; train with --set merge=true" in refusal(copy, weights="merged")
    assert "is not the folder of the model that was trained" in refusal(copy, base=str(tmp_path / "gone"))
    assert "is not the folder of the model that was trained" in refusal(copy, base=str(world.checkpoint / "merged"))
    facts = json.loads((copy / "training.json").read_text())
    (copy / "adapter_model.safetensors").unlink()
    assert "lacks adapter_model.safetensors" in refusal(copy)
    (copy / "training.json").write_text(json.dumps(facts | {"finished": False}))
    assert "the training is not finished" in refusal(copy)
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").touch()
    assert f"the run has no checkpoint; make one with  plum-hub train {run}" in refusal(run)
    assert tags("local/refused", world.target, "model") == {}
