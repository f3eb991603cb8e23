"""How the models of the paper are asked, and what is read out of the answers that they give."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from plum_hub.answers.code import extract_code
from plum_hub.engines import TransformersConfig
from plum_hub.engines.base import Request, Sampling
from plum_hub.engines.forms import apply_form, chosen, family, forms, names_of, with_stops
from plum_hub.engines.template import asked
from plum_hub.evaluation.sampling import choose_style
from plum_hub.pipeline.base import engine_inputs
from plum_hub.prompts import render
from tests.engines import tiny

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")  # torch and transformers warn about themselves

FAMILIES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "families.yaml").read_text())
BASES = [one for one in FAMILIES if "asked" not in one]
CHATS = [one for one in FAMILIES if "asked" in one]
DIGESTS = {
    "magicoder": "91b109443069",
    "wizardcoder": "06edd182bea8",
    "deepseek-coder": "e6e9026299f1",
    "codellama": "5040fada510e",
    "codeqwen": "912f10c2b050",
    "codeqwen-base": "4dea02ee1730",
    "deepseek-coder-base": "4dea02ee1730",
    "starcoder2-base": "56b6c5c9b609",
}


def _tokenizer() -> Any:
    tokenizer = tiny.make_tokenizer(["Q"], 300, chat=False)
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    return tokenizer


def _name(one: dict[str, Any]) -> str:
    return str(one["model"])


@pytest.mark.parametrize("one", FAMILIES, ids=_name)
def test_a_family_is_known_by_its_name(one: dict[str, Any]) -> None:
    assert family((one["model"],)) == one["form"]
    assert family((f"/models/{one['model'].partition('/')[2]}/",)) == one["form"]


@pytest.mark.parametrize(
    "model", ["Qwen/Qwen2.5-Coder-7B-Instruct", "magicoder/other", "bigcode/starcoder2-15b-instruct"]
)
def test_other_models_have_no_form(model: str) -> None:
    assert family((model,)) is None


@pytest.mark.parametrize("one", CHATS, ids=_name)
def test_the_prompt_is_exactly_that_of_the_family(one: dict[str, Any]) -> None:
    tokenizer = _tokenizer()
    apply_form(tokenizer, one["form"])
    assert asked(tokenizer, [{"role": "user", "content": "Q"}]) == one["asked"]


@pytest.mark.parametrize("name", [name for name, form in forms().items() if not form.base])
def test_a_conversation_goes_on_from_where_the_answer_was_asked_for(name: str) -> None:
    """Training masks the prompt, so that it must be the beginning of the whole."""
    tokenizer = _tokenizer()
    apply_form(tokenizer, name)
    turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    whole = tokenizer.apply_chat_template(turns, tokenize=False)
    assert whole.startswith(asked(tokenizer, turns[:1]))
    assert "A" in whole.removeprefix(asked(tokenizer, turns[:1]))
    assert asked(tokenizer, [*turns, turns[0]]).startswith(whole)


@pytest.mark.parametrize("one", FAMILIES, ids=_name)
def test_the_program_of_a_recorded_answer(one: dict[str, Any]) -> None:
    stop = ("\n```",) if one in BASES else ()  # the completion prompt ends inside a code block
    request = Request(id="x", prompt="", seed=0, sampling=Sampling(temperature=0, top_p=1, max_tokens=9, stop=stop))
    text, _ = with_stops(request, one["form"]).sampling.until_stop(one["answer"])
    assert extract_code(text, "double") == one["program"]


def test_a_base_model_begins_within_the_code_block() -> None:
    prompt = render("solve_completion", instruction="Double it.", starter_code="def double(n):\n    pass")
    assert prompt.startswith("# Task\n\nDouble it.\n\n")
    assert prompt.endswith("\n\n```python\n")


def test_a_form_never_changes() -> None:
    """Its name is part of row ids, so that the same name must mean the same text for ever."""
    texts = {name: repr((one.template, one.base, one.stop, one.end_tokens)) for name, one in forms().items()}
    digests = {name: hashlib.sha256(text.encode()).hexdigest()[:12] for name, text in texts.items()}
    assert digests == DIGESTS


@pytest.mark.parametrize(
    ("name", "has_template", "form"),
    [
        ("magicoder", False, "magicoder"),
        ("magicoder", True, "own"),
        ("codeqwen-base", True, "codeqwen-base"),
        ("codeqwen-base", False, "own"),  # completion anyway, by the ids of earlier versions
        ("starcoder2-base", False, "starcoder2-base"),  # for its end tokens
    ],
)
def test_what_the_tokenizer_says_goes_first_for_chat_models(name: str, has_template: bool, form: str) -> None:
    assert chosen(name, has_template) == form


def test_a_folder_is_known_by_the_names_within_it(tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text(json.dumps({"model": {"name": "Qwen/CodeQwen1.5-7B"}}))
    (tmp_path / "adapter_config.json").write_text("[")
    assert family(names_of(str(tmp_path))) == "codeqwen-base"


def test_a_magicoder_without_a_template_is_asked_in_its_own_form(tmp_path: Path) -> None:
    folder = tmp_path / "Magicoder-S-DS-6.7B"
    tiny.write_tiny_model(folder, chat=False)
    pinned = TransformersConfig(model=str(folder)).pin()
    assert pinned.form == "magicoder"
    assert choose_style(pinned) == "prefilled"
    assert engine_inputs(pinned) != engine_inputs(pinned.model_copy(update={"form": "own"}))
    turns = [{"role": "user", "content": "Add."}]
    tokenizer = tiny.make_tokenizer(tiny._TEXTS, 320, chat=False)
    apply_form(tokenizer, "magicoder")
    sampling = Sampling(temperature=0, top_p=1, max_tokens=8)
    requests = [
        Request(id="chat", prompt=turns, seed=0, sampling=sampling),
        Request(id="text", prompt=asked(tokenizer, turns), seed=0, sampling=sampling),
    ]
    with pinned.open() as engine:
        assert engine.has_chat_template
        answers = {answer.id: answer for answer in engine.generate(requests)}
    assert answers["chat"].text == answers["text"].text
    assert answers["chat"].prompt_tokens == answers["text"].prompt_tokens


def test_a_base_model_with_a_template_is_asked_by_completion(tmp_path: Path) -> None:
    folder = tmp_path / "CodeQwen1.5-7B"
    tiny.write_tiny_model(folder)
    config = TransformersConfig(model=str(folder))
    assert not config.pin().takes_conversations()
    assert choose_style(config.pin()) == "completion"
    own = config.model_copy(update={"form": "own"})
    assert own.pin().takes_conversations()
    assert own.text_settings() == TransformersConfig(model="m").text_settings()


def test_an_end_token_of_the_family_ends_the_answer(tmp_path: Path) -> None:
    folder = tmp_path / "starcoder2-7b"
    tiny.write_tiny_model(folder, chat=False)
    from transformers import AutoModelForCausalLM

    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["merges"] = []
    request = Request(id="x", prompt="def", seed=0, sampling=Sampling(temperature=0, top_p=1, max_tokens=6))
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt = torch.tensor([[vocabulary[letter] for letter in request.prompt]])
    written = model.generate(prompt, max_new_tokens=6, do_sample=False)[0, 3:].tolist()
    assert written[0] != written[1]
    (piece,) = [piece for piece, number in vocabulary.items() if number == written[1]]
    vocabulary["<file_sep>"] = vocabulary.pop(piece)
    path.write_text(json.dumps(tokenizer))
    counts = {}
    for form in ("own", "auto"):
        with TransformersConfig(model=str(folder), form=form, dtype="float32").open() as engine:
            (answer,) = engine.generate([request])
        counts[form] = (answer.completion_tokens, answer.finish_reason)
    assert counts == {"own": (6, "length"), "auto": (2, "stop")}


def test_an_unknown_form_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"no form 'alpaca'; take one of auto, own, magicoder"):
        TransformersConfig(model="m", form="alpaca")
