"""Models whose weights are quantised, and models that are quantised when they are loaded."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from plum_hub.engines import TransformersConfig, VllmConfig
from plum_hub.engines.base import LocalSettings, Request, Sampling
from plum_hub.engines.dtype import gpu_half, quantized
from plum_hub.errors import EngineError
from tests.engines import tiny

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")  # torch, transformers and vllm warn about themselves
on_cpu = pytest.mark.skipif(gpu_half() is not None, reason="what a CPU computes in")

INT8 = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False},
            "input_activations": {
                "num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True
            },
        }
    },
}  # fmt: skip
REQUESTS = [
    Request(id=str(number), prompt=prompt, seed=0, sampling=Sampling(temperature=0, top_p=1, max_tokens=8))
    for number, prompt in enumerate(("def add(a, b):", [{"role": "user", "content": "Add."}]))
]


def _with_config(folder: Path, quantization: dict[str, Any]) -> str:
    tiny.write_tiny_model(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": quantization}))
    return str(folder)


def _write_int8(folder: Path) -> str:
    """The tiny model, its linear layers as 8-bit integers with a scale for each row."""
    from safetensors.torch import load_file, save_file

    model = _with_config(folder, INT8)
    weights = {}
    for name, value in load_file(folder / "model.safetensors").items():
        weights[name] = value
        if name.endswith("proj.weight"):
            scale = value.abs().amax(1, keepdim=True) / 127
            weights[name] = (value / scale).round().clamp(-127, 127).to(torch.int8)
            weights[f"{name}_scale"] = scale
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return model


def _texts(config: LocalSettings) -> dict[str, str]:
    with config.open() as engine:
        return {answer.id: answer.text for answer in engine.generate(REQUESTS)}


@pytest.mark.skipif(find_spec("vllm") is None, reason="needs vllm")
def test_eight_bit_weights_run_on_vllm(tmp_path: Path) -> None:
    config = VllmConfig(model=_write_int8(tmp_path / "int8"), cpu_kv_cache_gb=0.1)
    texts = _texts(config.pin())
    assert set(texts) == {"0", "1"}
    assert any(texts.values())


@on_cpu
@pytest.mark.parametrize(
    ("method", "dtype"), [("awq", "bfloat16"), ("gptq", "bfloat16"), ("compressed-tensors", "float32")]
)
def test_weights_whose_kernels_take_16_bits_only_are_computed_in_them(
    tmp_path: Path, method: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # so that float32 is this CPU's choice
    model = _with_config(tmp_path / "model", {"quant_method": method, "bits": 4})
    assert quantized(model, None) == method
    assert VllmConfig(model=model).pin().dtype == dtype
    assert VllmConfig(model=model, dtype="float16").pin().dtype == "float16"
    assert TransformersConfig(model=model).pin().dtype == "float32"


def test_weights_that_are_not_quantised(tmp_path: Path) -> None:
    tiny.write_tiny_model(tmp_path / "model")
    assert quantized(str(tmp_path / "model"), None) is None
    assert quantized(str(tmp_path / "none"), None) is None


@pytest.mark.skipif(find_spec("vllm") is None, reason="needs vllm")
def test_the_quantisation_is_handed_to_vllm(tmp_path: Path) -> None:
    from plum_hub.engines.vllm import arguments

    tiny.write_tiny_model(tmp_path / "model")
    config = VllmConfig(model=str(tmp_path / "model")).pin()
    assert "quantization" not in arguments(config)
    assert arguments(config.model_copy(update={"quantization": "fp8"}))["quantization"] == "fp8"


@pytest.mark.skipif(find_spec("vllm") is None, reason="needs vllm")
def test_a_format_without_kernels_is_one_line(tmp_path: Path) -> None:
    model = _with_config(tmp_path / "model", {"quant_method": "no-such-method"})
    with pytest.raises(EngineError, match=r"quantised \(no-such-method;.*use  transformers:MODEL") as caught:
        VllmConfig(model=model, cpu_kv_cache_gb=0.1).open()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_transformers_quantises_when_it_loads(tmp_path: Path, quantization: str) -> None:
    pytest.importorskip("bitsandbytes")
    tiny.write_tiny_model(tmp_path / "model")
    config = TransformersConfig(model=str(tmp_path / "model"), quantization=quantization)
    with config.open() as engine:
        dtypes = {str(weight.dtype) for weight in engine._model.parameters()}  # type: ignore[attr-defined]
        answers = {answer.id: answer.text for answer in engine.generate(REQUESTS)}
    assert {"4bit": "torch.uint8", "8bit": "torch.int8"}[quantization] in dtypes
    assert set(answers) == {"0", "1"}


def test_a_format_that_transformers_cannot_read_is_one_line(tmp_path: Path) -> None:
    model = _with_config(tmp_path / "model", {"quant_method": "aqlm"})
    with pytest.raises(EngineError, match="does not load") as caught:
        TransformersConfig(model=model).open()
    assert "\n" not in str(caught.value)
