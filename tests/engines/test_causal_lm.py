"""Every weight of a model and of an adapter comes from its files; what does not is refused, never drawn at random."""

import json
import logging
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from plum_hub.engines import TransformersConfig, VllmConfig
from plum_hub.engines.causal_lm import MisfitError, check_causal_lm
from plum_hub.errors import EngineError, TrainingError
from plum_hub.training.base import PinnedModel
from plum_hub.training.load_check import LoadCheckSpec, load
from tests.engines import tiny

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")  # torch, transformers and peft warn about themselves
Weights = dict[str, Any]
DOWN, HEAD = "model.layers.0.mlp.down_proj.weight", "lm_head.weight"


def _change(path: Path, change: Callable[[Weights], Weights]) -> None:
    from safetensors.torch import load_file, save_file

    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def _without(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {key: value for key, value in weights.items() if key != name}


def _with(name: str, *shape: int) -> Callable[[Weights], Weights]:
    return lambda weights: weights | {name: torch.ones(shape)}


def _compiled(weights: Weights) -> Weights:
    return {f"_orig_mod.{key}": value for key, value in weights.items()}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny.write_tiny_model(tmp_path / "model")
    return tmp_path / "model"


MISFITS = {
    "compiled": (_compiled, r"its files lack .* of Qwen2ForCausalLM and hold _orig_mod\.lm_head\.weight"),
    "a tensor less": (_without(DOWN), r"its files lack model\.layers\.0\.mlp\.down_proj\.weight of Qwen2ForCausalLM"),
    "a key less": (_without("model.layers.0.self_attn.k_proj.weight"), r"lack model\.layers\.0\.self_attn\.k_proj"),
    "a bias less": (
        _without("model.layers.1.self_attn.q_proj.bias"),
        r"lack model\.layers\.1\.self_attn\.q_proj\.bias",
    ),
    "no head": (_without(HEAD), r"lack lm_head\.weight"),
    "a bias more": (_with("model.layers.0.mlp.up_proj.bias", 128), r"hold model\.layers\.0\.mlp\.up_proj\.bias"),
    "another shape": (_with(DOWN, 128, 64), "does not load"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_weights_that_do_not_fit_are_refused_by_name_wherever_a_model_is_loaded(model: Path, name: str) -> None:
    change, reason = MISFITS[name]
    _change(model / "model.safetensors", change)
    with pytest.raises(EngineError, match=reason) as caught:
        TransformersConfig(model=str(model)).open()
    assert "\n" not in str(caught.value)
    if name != "another shape":  # which vLLM tells itself
        with pytest.raises(MisfitError, match=reason):
            check_causal_lm(str(model), None)
    if name == "a key less" and find_spec("vllm") is not None:
        with pytest.raises(EngineError, match=f"model does not load .*{reason}"):
            VllmConfig(model=str(model)).open()
    with pytest.raises(TrainingError, match=reason):
        PinnedModel(str(model), "sha256:0").load_model(bf16=False)
    with pytest.raises((ValueError, RuntimeError)):
        load(LoadCheckSpec(checkpoint=str(model), repo="", base=None, scratch=""), None)


@pytest.mark.parametrize(
    "more",
    [
        ("model.layers.0.self_attn.rotary_emb.inv_freq", 32),
        ("model.layers.2.mlp.down_proj.weight", 128, 128),  # a layer that predicts further tokens
        ("mtp.layers.0.mlp.down_proj.weight", 128, 128),
        ("score.weight", 1, 128),
        ("v_head.summary.bias", 1),
        ("model.layers.0.self_attn.k_scale", 1),
        ("model.layers.0.mlp.down_proj.input_scale", 1),
    ],
    ids=lambda more: more[0],
)
def test_what_changes_no_answer_may_lie_in_the_files(model: Path, more: tuple[str, int]) -> None:
    _change(model / "model.safetensors", _with(*more))
    check_causal_lm(str(model), None)
    TransformersConfig(model=str(model)).open().close()
    PinnedModel(str(model), "sha256:0").load_model(bf16=False)


@pytest.mark.parametrize("saved_twice", [False, True])
def test_a_tied_head_is_not_missing(tmp_path: Path, saved_twice: bool) -> None:
    tiny.write_tiny_model(tmp_path)
    tokenizer = tiny.make_tokenizer(["def add(a, b):\n"], 320)
    tiny.make_model(tokenizer, 128, tiny.CONTEXT, tie_word_embeddings=True).save_pretrained(tmp_path)
    if saved_twice:
        _change(tmp_path / "model.safetensors", lambda it: it | {HEAD: it["model.embed_tokens.weight"].clone()})
    check_causal_lm(str(tmp_path), None)
    TransformersConfig(model=str(tmp_path)).open().close()


def test_transformers_prints_no_table_of_its_own(model: Path) -> None:
    told: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = told.append  # type: ignore[method-assign]
    logging.getLogger("transformers").addHandler(handler)
    try:
        _change(model / "model.safetensors", _without(DOWN))
        with pytest.raises(EngineError, match="does not load"):
            TransformersConfig(model=str(model)).open()
    finally:
        logging.getLogger("transformers").removeHandler(handler)
    assert not told


def test_a_model_that_transformers_does_not_know_is_left_to_vllm(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"model_type": "of_tomorrow"}))
    check_causal_lm(str(model), None)


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_quantised_weights_that_fit_load_and_others_do_not(model: Path, bits: str) -> None:
    pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    how = BitsAndBytesConfig(**{f"load_in_{bits}": True})
    saved = model.with_name("saved")
    AutoModelForCausalLM.from_pretrained(model, quantization_config=how).save_pretrained(saved)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model / name, saved)
    TransformersConfig(model=str(saved)).open().close()
    TransformersConfig(model=str(model), quantization=bits).open().close()
    layer = DOWN.removesuffix("weight")
    _change(saved / "model.safetensors", lambda it: {key: value for key, value in it.items() if layer not in key})
    _change(model / "model.safetensors", _without(DOWN))
    with pytest.raises(EngineError, match="does not load"):  # transformers cannot draw random integers
        TransformersConfig(model=str(saved)).open()
    with pytest.raises(EngineError, match=rf"lack {DOWN}"):
        TransformersConfig(model=str(model), quantization=bits).open()


@pytest.fixture
def adapter(model: Path) -> Path:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    how = peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM", modules_to_save=["lm_head"])
    folder = model.with_name("adapter")
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(model), how).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: {key.replace(".model.model.", ".model._orig_mod.model."): it for key, it in weights.items()},
        _without("base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"),
    ],
)
def test_an_adapter_that_does_not_fit_its_base_is_refused(
    model: Path, adapter: Path, change: Callable[[Weights], Weights]
) -> None:
    base = PinnedModel(str(model), "sha256:0")
    TransformersConfig(model=str(adapter)).open().close()
    base.merge(adapter)
    _change(adapter / "adapter_model.safetensors", change)
    with pytest.raises(EngineError, match=r"adapter's weights do not fit its base: .*layers\.1\.self_attn\.q_proj"):
        TransformersConfig(model=str(adapter)).open()
    with pytest.raises(TrainingError, match=r"cannot be merged into .*do not fit its base: .*q_proj"):
        base.merge(adapter)
    with pytest.raises(ValueError, match="do not fit its base"):
        load(LoadCheckSpec(checkpoint=str(adapter), repo="", base=str(model), scratch=""), None)
