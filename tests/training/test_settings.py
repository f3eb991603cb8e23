"""Settings, class weights, and what fits: pure functions of small inputs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plum_hub.errors import TrainingError
from plum_hub.training.balance import LabelWeights, batch_size, class_weights
from plum_hub.training.lengths import BEYOND_CONTEXT, TOO_LONG, fitting_rows
from plum_hub.training.memory import MemoryDemand, ModelShape, estimate_memory
from plum_hub.training.settings import Batches, compose
from tests.training import toy

pytestmark = pytest.mark.filterwarnings("default")


def test_settings_are_composed_and_wrong_ones_named() -> None:
    settings = compose(["learning_rate=1e-6", "group_by_length=true", "report_to=[trackio]"], method="kto")
    assert (settings.learning_rate, settings.group_by_length, settings.report_to) == (1e-6, True, ("trackio",))
    assert compose([], method="sft").rate(lora=True) == 2e-4
    for setting, said in {
        "betta=1": "--set betta: there is no such key; the keys are method, weights",
        "batch_size=1": "--set batch_size=1: Input should be greater than or equal to 2",
        "beta": "write it as KEY=VALUE",
        "beta=[": "the value is not YAML",
        "memory_gb=.inf": "--set memory_gb=inf: Input should be a finite number",
        "max_kl=inf": "--set max_kl=inf: Input should be a finite number",
        "weight_decay=.nan": "--set weight_decay=nan: Input should be a finite number",
        "seed=99999999999": "--set seed=99999999999: Input should be less than 4294967296",
    }.items():
        with pytest.raises(TrainingError) as caught:
            compose([setting])
        assert said in str(caught.value)
    with pytest.raises(TrainingError, match="are for kto"):
        compose(["desirable_weight=2"], method="dpo")
    for method in ("kto", "dpo"):
        with pytest.raises(TrainingError, match=f"packing is for sft: {method} compares rows"):
            compose(["packing=true"], method=method)
    with pytest.raises(TrainingError, match="quantization is for lora"):
        compose(["quantization=4bit", "weights=full"])


@pytest.mark.parametrize(("chosen", "rejected"), [(1, 19), (50, 100), (99, 100), (5, 4), (3, 2), (19, 1)])
def test_one_weight_at_most_brings_the_labels_into_the_band(chosen: int, rejected: int) -> None:
    weights = class_weights(chosen, rejected)
    assert 1 <= weights.desirable * chosen / (weights.undesirable * rejected) <= 4 / 3
    assert min(weights.desirable, weights.undesirable) == 1 <= max(weights.desirable, weights.undesirable)


@pytest.mark.parametrize(
    ("chosen", "rejected", "rows"), [(50, 50, 4), (484, 87, 7), (87, 484, 7), (75, 25, 4), (76, 24, 5), (1000, 1, 16)]
)
def test_batches_are_as_large_as_the_scarcer_label_wants(chosen: int, rejected: int, rows: int) -> None:
    assert batch_size(chosen, rejected) == rows


def test_a_step_has_about_32_rows_of_all_processes() -> None:
    settings = compose([])
    for rows, processes, batches in ((4, 1, 8), (4, 8, 1), (7, 1, 5), (16, 2, 1), (16, 64, 1)):
        assert settings.batches(rows, processes) == Batches(rows, batches)
    assert compose(["batch_size=2", "accumulation=3"]).batches(16, 4) == Batches(2, 3)


def test_labels_in_the_band_are_left_alone() -> None:
    assert class_weights(100, 100) == class_weights(120, 100) == LabelWeights()


def test_no_row_is_longer_than_the_model_takes(tiny: Path) -> None:
    """The training ended in the middle, with an IndexError."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    rows = [row | {"row": str(number)} for number, row in enumerate(toy.rows())]
    tokens = fitting_rows(rows, tokenizer, 10_000).tokens
    context, most = sorted(tokens)[24], sorted(tokens)[48]
    found = fitting_rows(rows, tokenizer, most, context=context)
    assert found.left_out == {
        TOO_LONG: sum(one > most for one in tokens), BEYOND_CONTEXT: sum(context < one <= most for one in tokens),
    }  # fmt: skip
    assert (max(found.tokens), found.limit) == (context, context)
    assert fitting_rows(rows, tokenizer, most, context=most + 1).left_out == {TOO_LONG: found.left_out[TOO_LONG]}
    with pytest.raises(TrainingError, match="none of 72 rows fits the model's context of 9 tokens: shorten them"):
        fitting_rows(rows, tokenizer, 10_000, context=9)


def test_rows_are_measured_as_trl_tokenises_them(tiny: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    rows = [row | {"row": str(number)} for number, row in enumerate(toy.rows())]
    whole = fitting_rows(rows, tokenizer, 10_000)
    assert whole.tokens == [
        len(
            tokenizer.apply_chat_template(row["prompt"] + row["completion"], tokenize=True, return_dict=True)[
                "input_ids"
            ]
        )
        for row in rows
    ]
    middle = sorted(whole.tokens)[36]
    some = fitting_rows(rows, tokenizer, middle)
    assert some.left_out == {TOO_LONG: sum(tokens > middle for tokens in whole.tokens)}
    assert max(some.tokens) == middle
    assert len(some.rows) + some.left_out[TOO_LONG] == 72


def test_plain_text_ends_with_the_end_of_text(tiny: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    end = tokenizer.eos_token
    rows = [{"prompt": "def add(", "completion": text, "label": True} for text in ("a, b):", f"a, b):{end}")]
    assert len(set(fitting_rows(rows, tokenizer, 100).tokens)) == 1


def test_a_prompt_that_melts_into_its_answer_is_kept_and_counted(tiny: Path) -> None:
    """TRL counts the token that both share to the answer."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    rows = [{"prompt": prompt, "completion": "urn a", "label": True} for prompt in ("ret", "x\n")]
    alone, whole = (tokenizer(text)["input_ids"] for text in ("ret", "return"))
    assert whole[: len(alone)] != alone
    found = fitting_rows(rows, tokenizer, 100)
    assert (found.left_out, len(found.rows), found.merged) == ({}, 2, 1)


def test_a_template_that_moves_the_prompt_is_refused(tiny: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.chat_template = "{{ messages | length }}{% for message in messages %}{{ message.content }}{% endfor %}"
    with pytest.raises(TrainingError, match="renders a prompt alone differently than before an answer"):
        fitting_rows(toy.rows(), tokenizer, 100)


@pytest.mark.parametrize(
    "template", ["", "Hello!", "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"]
)
def test_a_template_that_renders_no_answer_is_refused(tiny: Path, template: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.chat_template = template
    with pytest.raises(TrainingError, match="renders nothing of the answer, so that there is nothing to train on"):
        fitting_rows(toy.rows(), tokenizer, 100)


def test_memory_follows_the_form() -> None:
    shape = ModelShape(
        parameters=494_000_000,
        linear_width=900_000,
        linear_parameters=358_000_000,
        layers=24,
        hidden=896,
        intermediate=4864,
        vocabulary=151_936,
    )
    kept: dict[str, Any] = {"weight_bytes": 2, "activation_bytes": 2, "reference": False, "tokens": 1000, "gpu": False}
    demand = MemoryDemand(lora_rank=16, linear_bytes=2, checkpointed=False, **kept)
    lora = estimate_memory(shape, demand)
    assert lora.weights == 2 * shape.parameters
    assert lora.optimiser == 16 * 16 * shape.linear_width
    full = estimate_memory(
        shape, MemoryDemand(None, 2, 2, 4, checkpointed=True, reference=True, tokens=1000, gpu=False)
    )
    assert full.weights + full.optimiser == (16 + 4) * shape.parameters
    narrow = estimate_memory(
        shape, MemoryDemand(None, 2, 2, 2, checkpointed=True, reference=True, tokens=1000, gpu=False)
    )
    assert narrow.weights == full.weights + 2 * shape.linear_parameters  # autocast's copies
    assert narrow.activations < lora.activations
    more = [
        estimate_memory(shape, replace(demand, tokens=tokens, checkpointed=True)).activations for tokens in (512, 1024)
    ]
    blocks = (10 * 896 + 4 * 4864 + 24 * 896) * 2
    assert more[1] - more[0] == 512 * blocks  # a CPU's tile of logits grows no more
    assert "GB (weights 0.99, " in str(lora)
    assert "GB (weights 0.47, " in str(
        estimate_memory(shape, MemoryDemand(lora_rank=16, linear_bytes=0.5625, checkpointed=False, **kept))
    )
