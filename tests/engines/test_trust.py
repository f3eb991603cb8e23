"""A model that somebody sends is weights and tables: no code of it runs, by a pickle, by its own Python, or by tags."""

import ast
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from plum_hub.engines import parse_engine
from plum_hub.engines.tokenizer import has_chat_template
from plum_hub.engines.transformers import TransformersConfig
from plum_hub.engines.trust import check_weights
from plum_hub.errors import EngineError, PlumError, TrainingError
from plum_hub.training.base import PinnedModel, pin_model
from tests.engines.tiny import write_tiny_model

PACKAGE = Path(__file__).resolve().parents[2] / "plum_hub"


class Bomb:
    """Leaves a mark as it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pytest.importorskip("transformers")
    write_tiny_model(tmp_path / "model")
    return tmp_path / "model"


def test_the_bomb_is_one(mark: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists()


def test_weights_that_are_a_pickle_are_refused_and_not_read(model: Path, mark: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    for engine in ("transformers", "vllm"):
        with pytest.raises(EngineError, match="its weights are a pickle"):
            parse_engine(f"{engine}:{model}").open()
    with pytest.raises(TrainingError, match="does not load"):
        PinnedModel(str(model), "sha256:0").load_model(bf16=False)
    with pytest.raises(EngineError, match="its weights are a pickle"):
        pin_model(str(model), None)
    with pytest.raises(EngineError, match="its weights are a pickle"):
        check_weights(model)
    assert not mark.exists()


def test_a_gguf_is_named_as_such_wherever_it_lies(model: Path) -> None:
    (model / "model.safetensors").rename(model / "q4.gguf")
    for engine in ("transformers", "vllm"):
        with pytest.raises(EngineError, match=r"its weights are a GGUF \(q4\.gguf\).*openai:NAME@URL"):
            parse_engine(f"{engine}:{model}").open()
    with pytest.raises(EngineError, match="its weights are a GGUF"):
        pin_model(str(model), None)
    with pytest.raises(EngineError, match=r"q4\.gguf is a file: name the folder.*openai:NAME@URL"):
        parse_engine(f"transformers:{model / 'q4.gguf'}").pin()
    (model / "config.json").unlink()
    with pytest.raises(EngineError, match=r"no config\.json.*a GGUF can be served"):
        parse_engine(f"transformers:{model}").pin()


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"vocab_size": 64}),
        ("config.json", {"hidden_size": 96}),
        ("config.json", {"num_hidden_layers": "two"}),
        ("generation_config.json", [1]),
    ],
)
def test_files_that_contradict_each_other_are_one_line(model: Path, file: str, changes: Any) -> None:
    content = json.loads((model / file).read_text())
    (model / file).write_text(json.dumps(content | changes if isinstance(changes, dict) else changes))
    with pytest.raises(EngineError, match="does not load") as caught:
        parse_engine(f"transformers:{model}").open()
    assert "\n" not in str(caught.value)
    with pytest.raises(TrainingError, match="does not load"):
        PinnedModel(str(model), "sha256:0").load_model(bf16=False)


def test_a_model_without_its_tokenizer_is_refused(model: Path) -> None:
    (model / "tokenizer.json").unlink()  # then transformers makes one that turns every text into nothing
    engine = parse_engine(f"transformers:{model}")
    assert isinstance(engine, TransformersConfig)
    with pytest.raises(TrainingError, match=r"has no vocabulary: tokenizer\.json or the like is missing; copy"):
        PinnedModel(str(model), "sha256:0").load_tokenizer()
    with pytest.raises(EngineError, match="has no vocabulary"):
        has_chat_template(engine)
    with pytest.raises(EngineError, match="has no vocabulary"):
        engine.open()


@pytest.mark.parametrize("name", ["eos_token", "pad_token"])
def test_a_token_that_the_model_lacks_ends_no_training_in_the_middle(model: Path, name: str) -> None:
    from transformers import AutoTokenizer

    pinned = PinnedModel(str(model), "sha256:0")
    pinned.load_tokenizer()
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_special_tokens({name: "<|more|>"})
    tokenizer.save_pretrained(model)
    with pytest.raises(TrainingError, match=rf"{name} '<\|more\|>' is token \d+, and the model has only \d+: name one"):
        pinned.load_tokenizer()


def test_an_adapter_that_is_a_pickle_is_refused_and_not_read(model: Path, mark: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(model), "r": 1}
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"target_modules": ["q_proj"]}))
    (adapter / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(PlumError, match="its weights are a pickle"):
        PinnedModel(str(model), "sha256:0").merge(adapter)
    assert not mark.exists()


def test_the_state_of_a_training_that_somebody_sends_runs_nothing(mark: Path, tmp_path: Path) -> None:
    """`transformers` reads optimizer, schedule and random state in this way as a training is resumed."""
    torch = pytest.importorskip("torch")
    state = tmp_path / "optimizer.pt"
    torch.save({"state": Bomb(mark)}, state)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(state, weights_only=True)
    assert not mark.exists()
    import inspect

    from transformers import trainer

    calls = [node for node in ast.walk(ast.parse(inspect.getsource(trainer))) if isinstance(node, ast.Call)]
    loads = [call for call in calls if ast.unparse(call.func) == "torch.load"]
    assert loads
    assert all(any(ast.unparse(it) == "weights_only=True" for it in call.keywords) for call in loads)


def test_python_beside_a_model_never_runs(model: Path, mark: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    names = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.OwnModel", "AutoTokenizer": ["own.OwnTokens", None]}
    (model / "config.json").write_text(json.dumps(config | {"auto_map": names, "model_type": "own"}))
    (model / "tokenizer_config.json").write_text(
        json.dumps(json.loads((model / "tokenizer_config.json").read_text()) | {"auto_map": names})
    )
    (model / "own.py").write_text(f"open({str(mark)!r}, 'w')\n")
    for use in (
        lambda: parse_engine(f"transformers:{model}").open(),
        lambda: PinnedModel(str(model), "sha256:0").load_model(bf16=False),
        lambda: PinnedModel(str(model), "sha256:0").load_config(),
        lambda: has_chat_template(TransformersConfig(model=str(model))),
    ):
        try:
            use()
        except PlumError as error:
            assert "\n" not in str(error)
        assert not mark.exists()


def _calls(name: str) -> list[tuple[str, ast.Call]]:
    return [
        (path.relative_to(PACKAGE).as_posix(), node)
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name
    ]


def test_every_model_is_loaded_in_this_way() -> None:
    found = [(path, ast.unparse(call)) for path, call in _calls("from_pretrained")]
    assert found
    assert [one for one in found if "**trust." not in one[1] and "PeftModel" not in one[1]] == []
    assert {path for path, call in found if "LM." in call or "Peft" in call} == {
        "engines/causal_lm.py",  # which checks that everything was in the files
        "engines/weights.py",  # of a file whose digest is known
    }
    loads = [ast.unparse(call) for path, call in _calls("_load") if path == "training/base.py"]
    assert loads
    assert all("(load_causal_lm, " in one or "**trust." in one for one in loads)


def test_a_pickle_is_read_from_our_own_processes_only() -> None:
    for name in ("load", "loads"):
        places = {path for path, call in _calls(name) if ast.unparse(call.func).startswith(("pickle.", "torch."))}
        assert places <= {"hubs/client.py", "hubs/hub_worker.py"}


def test_yaml_from_anybody_is_read_as_plain_data_within_bounds() -> None:
    own = {"engines/prices.py", "publishing/model_results.py"}  # shipped, and made a line above
    found = {(path, ast.unparse(call.func)) for name in ("load", "safe_load", "full_load", "unsafe_load", "load_all")
             for path, call in _calls(name) if "yaml" in ast.unparse(call.func)}  # fmt: skip
    assert {path for path, name in found if name != "plain_yaml.load"} == own
