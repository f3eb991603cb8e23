"""Models that consist of LoRA adapters: a folder as a training leaves it, run on the base that it names."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from plum_hub.engines import TransformersConfig, VllmConfig
from plum_hub.engines.adapter import source_of
from plum_hub.engines.base import LocalSettings, Request, Sampling
from plum_hub.engines.revision import folder_sha256
from plum_hub.errors import EngineError, TrainingError
from plum_hub.hubs.embedded import EmbeddedHub
from plum_hub.pipeline.base import engine_inputs
from plum_hub.training.base import pin_model
from tests.engines import tiny

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore")  # torch, transformers and vllm warn about themselves

GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=12)
ASKED = [
    Request(id="chat", prompt=[{"role": "user", "content": "Add two numbers."}], seed=0, sampling=GREEDY),
    Request(id="text", prompt="def add(a, b):", seed=0, sampling=GREEDY),
]


def _write_adapter(base: Path, folder: Path) -> None:
    """Adapters that change the answers a lot, beside the tokenizer of the base."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(1)
    how = peft.LoraConfig(
        r=4, lora_alpha=64, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
    )
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), how).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base` and `checkpoint` in one folder."""
    folder = tmp_path_factory.mktemp("adapter")
    tiny.write_tiny_model(folder / "base")
    _write_adapter(folder / "base", folder / "checkpoint")
    return folder


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Path:
    """A copy to change, whose adapters name the copied base."""
    folder = Path(shutil.copytree(written, tmp_path / "copy"))
    _name_base(folder, str(folder / "base"))
    return folder


def _name_base(folder: Path, base: str) -> None:
    path = folder / "checkpoint" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": base}))


def _texts(config: LocalSettings) -> dict[str, str]:
    """Greedy texts, without half of a character at the end, which vLLM leaves out and transformers shows as U+FFFD."""
    with config.open() as engine:
        return {answer.id: answer.text.rstrip("\ufffd") for answer in engine.generate(ASKED)}


def test_the_adapters_change_the_answer_and_both_engines_agree(written: Path) -> None:
    base, checkpoint = str(written / "base"), str(written / "checkpoint")
    adapted = _texts(TransformersConfig(model=checkpoint, dtype="float32"))
    plain = _texts(TransformersConfig(model=base, dtype="float32"))
    assert all(adapted[name] != plain[name] for name in adapted)
    if find_spec("vllm") is None:
        pytest.skip("vllm is not installed")
    assert _texts(VllmConfig(model=checkpoint, dtype="float32", cpu_kv_cache_gb=0.1)) == adapted


def test_the_base_is_pinned_with_the_adapters(copied: Path) -> None:
    config = TransformersConfig(model=str(copied / "checkpoint"))
    pinned = config.pin()
    assert pinned.base == str(copied / "base")
    assert pinned.base_revision == f"sha256:{folder_sha256(copied / 'base')}"
    assert pinned.pin() == config.adopting(pinned) == pinned
    assert pinned.takes_conversations()
    public = pinned.public()
    assert (public.model, public.base) == ("checkpoint", "base")
    assert engine_inputs(pinned) == engine_inputs(public)
    with (copied / "base" / "config.json").open("a") as file:
        file.write("\n")
    with pytest.raises(EngineError, match="has changed since this run began"):
        pinned.open()
    assert engine_inputs(config.pin()) != engine_inputs(pinned)


def test_the_record_of_the_training_says_which_base_it_was(copied: Path) -> None:
    record = {"model": {"name": "base", "revision": "sha256:" + "0" * 64}}
    (copied / "checkpoint" / "training.json").write_text(json.dumps(record))
    with pytest.raises(EngineError, match=r"checkpoint holds adapters, .*--set policy\.base=MODEL") as caught:
        TransformersConfig(model=str(copied / "checkpoint")).pin()
    assert "\n" not in str(caught.value)


def test_a_base_that_has_moved_is_named(copied: Path) -> None:
    (copied / "base").rename(copied / "moved")
    config = TransformersConfig(model=str(copied / "checkpoint"))
    with pytest.raises(EngineError, match=r"no such folder.*name its folder or repository with"):
        config.pin()
    moved = config.model_copy(update={"base": str(copied / "moved")}).pin()
    assert moved.base_revision == f"sha256:{folder_sha256(copied / 'moved')}"
    _name_base(copied, "")
    with pytest.raises(EngineError, match="names no base model"):
        config.pin()


def test_adapters_without_a_tokenizer_have_that_of_the_base(copied: Path) -> None:
    config = TransformersConfig(model=str(copied / "checkpoint"))
    assert source_of(config.pin()).tokenizer == str(copied / "checkpoint")
    for path in (copied / "checkpoint").glob("*token*"):
        path.unlink()
    assert source_of(config.pin()).tokenizer == str(copied / "base")
    assert config.pin().takes_conversations()


def test_a_whole_model_has_no_base(written: Path) -> None:
    config = TransformersConfig(model=str(written / "base")).pin()
    assert (config.base, config.base_revision) == (None, None)
    assert set(config.text_settings()) == {"dtype"}


def test_adapters_beside_a_copy_of_the_bases_configuration_are_adapters_still(copied: Path) -> None:
    adapted = _texts(TransformersConfig(model=str(copied / "checkpoint"), dtype="float32"))
    shutil.copy(copied / "base" / "config.json", copied / "checkpoint")
    pinned = TransformersConfig(model=str(copied / "checkpoint"), dtype="float32").pin()
    assert pinned.base == str(copied / "base")
    assert _texts(pinned) == adapted


def test_a_merged_model_that_keeps_the_adapters_configuration_is_a_whole_model(copied: Path) -> None:
    merged = Path(shutil.copytree(copied / "base", copied / "merged"))
    shutil.copy(copied / "checkpoint" / "adapter_config.json", merged)
    assert TransformersConfig(model=str(merged)).pin().base is None
    shutil.copy(copied / "checkpoint" / "adapter_model.safetensors", merged)
    assert TransformersConfig(model=str(merged)).pin().base is None


def test_adapters_on_a_hub_are_adapters_still_beside_a_configuration_of_their_base(
    copied: Path, tmp_path: Path
) -> None:
    shutil.copy(copied / "base" / "config.json", copied / "checkpoint")
    code = (
        "import sys\nfrom huggingface_hub import HfApi\nfrom plum_hub.engines import TransformersConfig\n"
        "for number, folder in enumerate(sys.argv[1:]):\n"
        "    HfApi().create_repo(name := f'local/model-{number}')\n"
        "    HfApi().upload_folder(repo_id=name, folder_path=folder)\n"
        "    for _ in range(2): print(TransformersConfig(model=name).pin().base)\n"
    )
    merged = Path(shutil.copytree(copied / "base", copied / "merged"))
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(copied / "checkpoint" / name, merged)
    with EmbeddedHub(tmp_path / "hub") as hub:
        environment = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": hub.token}
        environment |= {"PYTHONPATH": ":".join(sys.path), "HF_HUB_DISABLE_XET": "1"}
        command = [sys.executable, "-c", code, *map(str, (copied / "checkpoint", merged, copied / "base"))]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == [str(copied / "base")] * 2 + ["None"] * 4


def test_adapters_are_not_trained_on(written: Path) -> None:
    pytest.importorskip("trl")
    with pytest.raises(TrainingError, match=r"holds adapters.*merge=true"):
        pin_model(str(written / "checkpoint"), None)


def test_a_damaged_configuration_is_named(copied: Path) -> None:
    (copied / "checkpoint" / "adapter_config.json").write_text("{")
    with pytest.raises(EngineError, match=r"adapter_config\.json: cannot be read"):
        TransformersConfig(model=str(copied / "checkpoint")).pin()
