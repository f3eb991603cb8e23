"""The transformers engine: each answer is the request's own, whatever its neighbours; a broken model is an error."""

import json
from pathlib import Path
from typing import Any

import pytest

from plum_hub.engines import TransformersConfig, VllmConfig
from plum_hub.engines.base import Completion, LocalSettings, Request, Sampling
from plum_hub.errors import EngineError
from tests.engines import tiny

pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")  # torch and transformers warn about themselves
LONG = Sampling(temperature=0.8, top_p=1.0, max_tokens=100)
SHORT = Sampling(temperature=0.8, top_p=1.0, max_tokens=12)
CHAT = [{"role": "user", "content": "Add two numbers."}]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny.write_tiny_model(tmp_path / "model")
    return tmp_path / "model"


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _answers(config: LocalSettings, *requests: Request) -> dict[str, Completion]:
    with config.open() as engine:
        return {answer.id: answer for answer in engine.generate(requests)}


def _ask(config: LocalSettings, prompt: Any = "abc", sampling: Sampling = SHORT) -> Completion:
    return _answers(config, Request(id="0", prompt=prompt, seed=1, sampling=sampling))["0"]


def _endless(model: Path) -> Path:
    """No token ends an answer."""
    _edit(model / "generation_config.json", eos_token_id=None)
    _edit(model / "config.json", eos_token_id=None)
    _edit(model / "tokenizer_config.json", eos_token=None, pad_token=None)
    return model


def test_an_answers_length_does_not_depend_on_its_neighbours(model: Path) -> None:
    words = [1, 2, 40, 60, 60, 61, 75]  # the last ones leave less than 100 tokens of the context
    requests = [Request(id=str(n), prompt="abc " * it, seed=n, sampling=LONG) for n, it in enumerate(words)]
    config = TransformersConfig(model=str(_endless(model)), dtype="float32")
    together = _answers(config, *requests)
    assert together == _answers(config.model_copy(update={"batch_size": 1}), *requests)
    for answer in together.values():
        assert answer.finish_reason == "length"
        assert answer.completion_tokens == min(100, tiny.CONTEXT - answer.prompt_tokens)
    assert len({answer.completion_tokens for answer in together.values()}) == 4


def test_an_answer_that_a_stop_string_ends_has_its_own_tokens_beside_a_longer_one(model: Path) -> None:
    config = TransformersConfig(model=str(model), dtype="float32")
    greedy = Sampling(temperature=0.0, top_p=1.0, max_tokens=40)
    text = _ask(config, "abc", greedy).text
    sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=40, stop=(text[3:6],))
    alone = _ask(config, "abc", sampling)
    assert alone.stop
    requests = [Request(id=it, prompt=it, seed=1, sampling=sampling) for it in ("abc", "def add", "for i")]
    beside = _answers(config, *requests)
    assert max(one.completion_tokens for one in beside.values()) > alone.completion_tokens
    assert beside["abc"].completion_tokens == alone.completion_tokens


def _break(model: Path, value: float) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"][:] = value
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("sampling", [SHORT, Sampling(temperature=0.0, top_p=1.0, max_tokens=12)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_that_computes_no_numbers_answers_nothing(model: Path, value: float, sampling: Sampling) -> None:
    _break(model, value)
    with pytest.raises(EngineError, match=r"computes no numbers in .*--set policy\.dtype=float32"):
        _ask(TransformersConfig(model=str(model)), sampling=sampling)


def _add_token(model: Path, **special: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_special_tokens(special)
    tokenizer.save_pretrained(model)


def test_a_pad_token_that_the_model_lacks_does_not_matter(model: Path) -> None:
    requests = [Request(id=it, prompt=it, seed=1, sampling=SHORT) for it in ("abc", "def add(a, b):")]
    config = TransformersConfig(model=str(model), dtype="float32")
    before = _answers(config, *requests)
    _add_token(model, pad_token="[PAD]")
    assert _answers(config, *requests) == before
    _edit(model / "tokenizer_config.json", pad_token=None)
    assert _answers(config, *requests) == before


def test_a_prompt_with_a_token_that_the_model_lacks_is_an_error_of_one_line(model: Path) -> None:
    _add_token(model, bos_token="<|more|>")
    with pytest.raises(EngineError, match=r"writes '<\|more\|>' as token 316, and the model has only 316") as caught:
        _ask(TransformersConfig(model=str(model)), "abc <|more|> def")
    assert "\n" not in str(caught.value)


def test_a_text_to_go_on_with_ends_where_it_ends_whatever_the_tokenizer_adds_for_a_training(model: Path) -> None:
    config = TransformersConfig(model=str(model), dtype="float32")
    plain = _ask(config)
    end = {"SpecialToken": {"id": "<|im_end|>", "type_id": 0}}
    _edit(
        model / "tokenizer.json",
        post_processor={
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, end],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, end],
            "special_tokens": {"<|im_end|>": {"id": "<|im_end|>", "ids": [2], "tokens": ["<|im_end|>"]}},
        },
    )
    assert _ask(config) == plain
    assert _ask(config, "abc<|im_end|>").prompt_tokens == plain.prompt_tokens + 2


def test_a_template_that_makes_nothing_is_an_error_and_an_empty_text_is_refused(model: Path) -> None:
    assert _ask(TransformersConfig(model=str(model)), "").finish_reason == "refused"
    (model / "chat_template.jinja").write_text("")
    with pytest.raises(EngineError, match="it makes an empty text"):
        _ask(TransformersConfig(model=str(model)), CHAT)


@pytest.mark.parametrize(("own", "ends"), [(0, {0, 2}), ([1, 0], {0, 1, 2}), (None, {2}), (2, {2})])
def test_an_end_of_the_model_or_of_the_tokenizer_ends_an_answer(model: Path, own: Any, ends: set[int]) -> None:
    _edit(model / "generation_config.json", eos_token_id=own)
    _edit(model / "config.json", eos_token_id=own)
    with TransformersConfig(model=str(model)).open() as engine:
        assert engine._ends == ends  # type: ignore[attr-defined]
        requests = [Request(id=str(n), prompt=CHAT, seed=n, sampling=LONG) for n in range(40)]
        answers = list(engine.generate(requests))
    assert {answer.finish_reason for answer in answers} <= {"stop", "length"}


def test_a_model_without_any_end_answers_up_to_the_limit(model: Path) -> None:
    answer = _ask(TransformersConfig(model=str(_endless(model))))
    assert (answer.finish_reason, answer.completion_tokens) == ("length", 12)


def test_vllm_treats_such_prompts_alike(model: Path) -> None:
    pytest.importorskip("vllm")
    _add_token(model, bos_token="<|more|>")
    requests = [Request(id=str(n), prompt=it, seed=1, sampling=SHORT) for n, it in enumerate(("", "abc", "<|more|>"))]
    with VllmConfig(model=str(model), cpu_kv_cache_gb=0.1).open() as engine:
        answers = {answer.id: answer.finish_reason for answer in engine.generate(requests[:2])}
        assert (answers["0"], answers["1"] != "refused") == ("refused", True)
        with pytest.raises(EngineError, match="the model has only 316"):
            list(engine.generate(requests))


def test_vllm_reads_what_training_reads_though_mistrals_own_files_lie_beside_it(model: Path) -> None:
    pytest.importorskip("vllm")
    (model / "consolidated.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    (model / "tokenizer.model.v3").write_text("not read")
    (model / "params.json").write_text('{"dim": 16}')
    assert _ask(VllmConfig(model=str(model), cpu_kv_cache_gb=0.1), CHAT).completion_tokens


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_vllm_does_not_answer_with_what_is_no_number_either(model: Path, temperature: float) -> None:
    pytest.importorskip("vllm")
    _break(model, float("nan"))
    with pytest.raises(EngineError, match=r"NaNs detected .*restore the model's files"):
        _ask(
            VllmConfig(model=str(model), cpu_kv_cache_gb=0.1),
            sampling=Sampling(temperature=temperature, top_p=1.0, max_tokens=8),
        )
