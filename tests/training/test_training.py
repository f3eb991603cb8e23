"""Real trainings of a tiny model: what comes of them, what is recorded, and what is refused before they begin."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from plum_hub.errors import EngineError, TrainingError
from plum_hub.progress import Progress
from plum_hub.training.run import TrainingRequest, check, load_trainer, prepare, train
from plum_hub.training.settings import compose
from tests.engines.tiny import CONTEXT, write_tiny_model
from tests.training import toy

# What libraries warn of while they load or train is theirs.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("one_thread")]


def wanted(source: Path, model: Path, out: Path, *settings: str, **more: Any) -> TrainingRequest:
    method = more.pop("method", "kto")
    chosen = compose([*toy.SETTINGS, *settings], method=method)
    return TrainingRequest(source=str(source), model=str(model), out=out, settings=chosen, **more)


def test_kto_raises_chosen_above_rejected(source: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    record = train(prepare(wanted(source, tiny, out, "learning_rate=5e-3", "epochs=3")), Progress())
    seen = toy.metrics(out)
    assert [row["step"] for row in seen] == list(range(1, record.steps + 1))
    assert seen[-1]["epoch"] == 3
    gains = {label: seen[-1][f"rewards/{label}"] - seen[0][f"rewards/{label}"] for label in ("chosen", "rejected")}
    assert gains["chosen"] > 0.1 > -0.1 > gains["rejected"]  # rewards are beta times the gain in log-probability
    assert record.preflight.pairs == 3 * 72
    assert record.preflight.same_prompt == record.preflight.single_label == record.preflight.foreign == 0


def test_the_checkpoint_loads_and_says_what_made_it(source: Path, tiny: Path, tmp_path: Path) -> None:
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    out = tmp_path / "out"
    order = wanted(source, tiny, out)
    record = train(prepare(order), Progress())
    assert json.loads((out / "training.json").read_text()) == record.model_dump(mode="json")
    assert record.finished
    assert record.model.name == "tiny"
    assert record.on_policy is None
    assert record.rows.chosen == record.rows.rejected == 36
    assert not {"steps", "training_args.bin", "README.md"} & {path.name for path in out.iterdir()}
    AutoPeftModelForCausalLM.from_pretrained(out)
    assert AutoTokenizer.from_pretrained(out).chat_template
    before = (out / "metrics.jsonl").stat().st_mtime_ns
    assert train(prepare(order), Progress()) == record  # finished already
    assert (out / "metrics.jsonl").stat().st_mtime_ns == before
    with pytest.raises(TrainingError, match=r"settings\.beta: 0\.1 -> 0\.2"):
        train(prepare(wanted(source, tiny, out, "beta=0.2")), Progress())


def test_all_weights_with_the_reference_asked_before(source: Path, tiny: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    out = tmp_path / "out"
    record = train(prepare(wanted(source, tiny, out, "weights=full", "learning_rate=1e-3")), Progress())
    assert record.decided.reference == "precomputed"
    assert toy.metrics(out)[0]["rewards/margins"] == pytest.approx(0, abs=1e-4)
    assert toy.metrics(out)[-1]["rewards/margins"] > 0
    AutoModelForCausalLM.from_pretrained(out)


def test_a_live_reference_gives_the_same_losses(source: Path, tiny: Path, tmp_path: Path) -> None:
    losses = []
    for reference in ("live", "precomputed"):
        out = tmp_path / reference
        settings = ("weights=full", "learning_rate=1e-3", f"reference={reference}")
        train(prepare(wanted(source, tiny, out, *settings)), Progress())
        losses.append([row["loss"] for row in toy.metrics(out)])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


@pytest.mark.parametrize("method", ["dpo", "sft"])
def test_dpo_and_sft_learn_from_the_same_rows(method: str, source: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    order = wanted(source, tiny, out, "learning_rate=5e-3", "epochs=2", method=method)
    record = train(prepare(order), Progress())
    seen = toy.metrics(out)
    assert len(seen) == record.steps == 18
    assert record.rows.kept == 36  # as many pairs, as many chosen
    assert seen[-1]["loss"] < seen[0]["loss"]


@pytest.mark.parametrize("method", ["kto", "dpo", "sft"])
@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_each_step_of_a_short_training_is_learnt_from(method: str, epochs: int, tiny: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    source, out = toy.write(tmp_path / "rows.jsonl", toy.rows(4, 2)), tmp_path / "out"
    settings = ("accumulation=4", f"epochs={epochs}", f"batch_size={8 if method == 'kto' else 4}")
    train(prepare(wanted(source, tiny, out, *settings, method=method)), Progress())
    rates = [row["learning_rate"] for row in toy.metrics(out)]
    peak = 2e-4 if method == "sft" else 1e-5
    assert rates[0] == peak
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0
    weights = load_file(out / "adapter_model.safetensors")
    assert all(weight.any() for name, weight in weights.items() if "lora_B" in name)


def test_the_rate_rises_and_falls_between_numbers_above_zero() -> None:
    from plum_hub.training.trainer import rate_share

    assert [rate_share(step, 1, 0.9) for step in (0, 1)] == [1, 0]
    assert [rate_share(step, 4, 0) for step in range(4)] == [1, 0.75, 0.5, 0.25]
    assert [rate_share(step, 9, 0.34) for step in range(10)] == pytest.approx(
        [1 / 4, 2 / 4, 3 / 4, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0]
    )
    assert all(0 < rate_share(step, 40, 0.99) <= 1 for step in range(40))


def test_preflight_reads_what_trl_prepared(source: Path, tiny: Path, tmp_path: Path) -> None:
    for world in (1, 2, 4):
        found = check(prepare(wanted(source, tiny, tmp_path / "out", processes=world)))
        assert (found.pairs, found.batches) == (72 // (4 * world) * 4 * world, 72 // (4 * world) * world)
        assert (found.same_prompt, found.foreign, found.single_label, found.repeated, found.cut) == (0, 0, 0, 0, 0)
    assert not (tmp_path / "out").exists()


def test_preflight_of_a_thousand_prompts_of_twenty_samples(tiny: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from plum_hub.training import preflight
    from plum_hub.training.base import placeholder_model
    from plum_hub.training.trainer import TrainingJob, make_trainer, trl_config

    rows = [
        {"prompt": f"add {prompt}", "completion": f" {number}", "label": number % 3 == prompt % 3}
        for prompt in range(1000)
        for number in range(20)
    ]
    path = toy.write(tmp_path / "rows.jsonl", rows)
    ready = prepare(wanted(path, tiny, tmp_path / "out", "batch_size=8", processes=4))
    job = TrainingJob(ready.request.settings, ready.plan, ready.rows, ready.weights, tmp_path / "steps")
    models = [placeholder_model(ready.tokenizer) for _ in range(2)]
    one = make_trainer(job, trl_config(job, gpu=False), models, AutoTokenizer.from_pretrained(tiny))
    for world in (1, 2, 4):
        found = preflight.read(one, world)
        assert (found.pairs, found.batches) == (20_000, 2500)
        assert (found.same_prompt, found.foreign, found.single_label, found.repeated, found.cut) == (0, 0, 0, 0, 0)


def test_preflight_sees_the_trap(tiny: Path, tmp_path: Path) -> None:
    """The same rows in the order in which they were sampled: it is TRL's own doing that is read, not our plan."""
    from transformers import AutoTokenizer

    from plum_hub.training import preflight
    from plum_hub.training.base import placeholder_model
    from plum_hub.training.trainer import TrainingJob, make_trainer, trl_config

    rows = sorted(toy.rows(), key=lambda row: (row["prompt"][0]["content"], row["label"]))
    path = toy.write(tmp_path / "rows.jsonl", rows)
    ready = prepare(wanted(path, tiny, tmp_path / "out"))
    job = TrainingJob(
        ready.request.settings, ready.plan, [row | {"row": ""} for row in rows], ready.weights, tmp_path / "steps"
    )
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    found = preflight.read(make_trainer(job, trl_config(job, gpu=False), [placeholder_model(tokenizer)], tokenizer), 1)
    assert found.same_prompt_rate > 0.4
    with pytest.raises(TrainingError, match="KL pairs of one prompt"):
        found.check()


def test_labels_are_weighed_against_their_number(tiny: Path, tmp_path: Path) -> None:
    rows = [row | {"label": row["label"] and number % 4 == 1} for number, row in enumerate(toy.rows())]
    ready = prepare(wanted(toy.write(tmp_path / "rows.jsonl", rows), tiny, tmp_path / "out"))
    labels = [row["label"] for row in ready.rows]
    ratio = ready.weights.desirable * sum(labels) / (len(labels) - sum(labels))
    assert 1 <= ratio <= 4 / 3
    assert ready.weights.undesirable == 1


def plain(row: dict[str, Any]) -> dict[str, str]:
    """The row's prompt and completion as plain text."""
    return {key: row[key][0]["content"] for key in ("prompt", "completion")}


def refusal(source: Path, model: Path, out: Path, *settings: str, **more: Any) -> str:
    with pytest.raises((TrainingError, EngineError)) as caught:
        train(prepare(wanted(source, model, out, *settings, **more)), Progress())
    assert not [*out.glob("[!.]*")]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_trained_is_said_before_it_begins(source: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    one = toy.write(tmp_path / "one.jsonl", [row for row in toy.rows() if row["label"]])
    assert "all 36 rows are chosen: kto needs both labels" in refusal(one, tiny, out)
    long = [row["completion"][0] | {"content": "a + b\n" * 99 * (not row["label"])} for row in toy.rows()]
    uneven = toy.write(
        tmp_path / "uneven.jsonl", [row | {"completion": [one]} for row, one in zip(toy.rows(), long, strict=True)]
    )
    assert "all 36 rows are chosen (left out: 36 longer than max_length): kto needs" in refusal(uneven, tiny, out)
    assert "none of 72 rows fits max_length 16" in refusal(source, tiny, out, "max_length=16")
    assert "too little memory" in refusal(source, tiny, out, "memory_gb=0.001")
    assert "is not installed" in refusal(source, tiny, out, "report_to=[tensorboard]")
    assert "there is no such folder" in refusal(source, tmp_path / "gone", out)
    few = toy.write(tmp_path / "few.jsonl", toy.rows(1))
    assert "its prompt has more rows" in refusal(few, tiny, out)
    columns = toy.write(tmp_path / "columns.jsonl", [{"text": "a"}])
    assert "every row has text" in refusal(columns, tiny, out)
    assert "is not readable Parquet" in refusal(toy.write(tmp_path / "x.parquet", []), tiny, out)
    write_tiny_model(tmp_path / "plain", chat=False)
    assert "no chat template" in refusal(source, tmp_path / "plain", out)
    (tmp_path / "plain" / "model.safetensors").unlink()
    text = toy.write(tmp_path / "text.jsonl", [row | plain(row) for row in toy.rows()])
    assert "does not load" in refusal(text, tmp_path / "plain", out)


def test_what_the_model_does_not_take_is_left_out(tiny: Path, tmp_path: Path) -> None:
    long = toy.rows()[0]
    rows = [*toy.rows(), long | {"completion": [{"role": "assistant", "content": "a + b\n" * 200}]}]
    ready = prepare(wanted(toy.write(tmp_path / "t.jsonl", rows), tiny, tmp_path / "out", "max_length=4096"))
    assert ready.record().rows.left_out == {"longer than the model's context": 1}
    assert (ready.request.settings.max_length, ready.within_context.max_length) == (4096, CONTEXT)


def test_a_batch_that_is_no_number_is_named(source: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    write_tiny_model(tmp_path / "broken")
    path = tmp_path / "broken" / "model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], float("nan"))
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(
        TrainingError, match=r"step 1: the loss is not a finite number; the rows of the batch are \d+, \d+, "
    ):
        train(prepare(wanted(source, tmp_path / "broken", tmp_path / "out")), Progress())


def test_a_kl_that_runs_away_stops_the_training(source: Path, tiny: Path, tmp_path: Path) -> None:
    order = wanted(source, tiny, tmp_path / "out", "learning_rate=5e-3", "epochs=2", "max_kl=0.01")
    with pytest.raises(TrainingError, match=r"step \d+: the KL estimate is [\d.]+ nats, above max_kl 0\.01; the rows"):
        train(prepare(order), Progress())


class Told(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines += [text] if "merged" in text else []


def test_what_was_trained_is_merged_later_without_a_step(source: Path, tiny: Path, tmp_path: Path) -> None:
    """Whoever finds that another program takes whole models only had to train again. The weights here are bfloat16, in
    which changes this small are partly rounded away: it is said how much is left, and less is left of smaller ones."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, left = tmp_path / "base", []
    AutoModelForCausalLM.from_pretrained(tiny, dtype="bfloat16").save_pretrained(base)
    AutoTokenizer.from_pretrained(tiny).save_pretrained(base)
    for rate in ("1e-5", "1e-6"):
        out = tmp_path / rate
        first = train(prepare(wanted(source, base, out, f"learning_rate={rate}")), Progress())
        trained = (out / "adapter_model.safetensors").read_bytes()
        (out / "merged.new").mkdir()  # a merge that was killed
        later = train(prepare(wanted(source, base, out, "merge=true", f"learning_rate={rate}")), told := Told())
        assert (out / "adapter_model.safetensors").read_bytes() == trained
        assert (later.steps, later.settings.merge, later.seconds) == (first.steps, True, first.seconds)
        assert AutoModelForCausalLM.from_pretrained(out / "merged").dtype.itemsize == 2
        assert not (out / "merged.new").exists()
        (line,) = told.lines
        left.append(int(re.search(r"as bfloat16 holds (\d+)% of the change", line)[1]))  # type: ignore[index]
        again = train(prepare(wanted(source, base, out, f"learning_rate={rate}")), told)
        assert (len(told.lines), again.finished) == (1, True)
    assert 0 <= left[1] < left[0] <= 99, left


def test_merged_it_is_a_whole_model(source: Path, tiny: Path, tmp_path: Path) -> None:
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    out = tmp_path / "out"
    train(prepare(wanted(source, tiny, out, "merge=true", "learning_rate=5e-3")), Progress())
    tokens = torch.arange(40)[None]
    models = (AutoModelForCausalLM.from_pretrained(path) for path in (tiny, out / "merged"))
    base, merged, adapted = (model(tokens).logits for model in (*models, AutoPeftModelForCausalLM.from_pretrained(out)))
    assert torch.allclose(merged, adapted, atol=1e-3)
    assert not torch.allclose(merged, base, atol=1e-2)
    assert prepare(wanted(source, out / "merged", tmp_path / "next")).base.name == "merged"  # and is trained on as any


def test_packed_rows_do_not_see_one_another(source: Path, tiny: Path, tmp_path: Path) -> None:
    losses = []
    for packing in ("false", "true"):
        order = wanted(source, tiny, tmp_path / "out", f"packing={packing}", "batch_size=36", method="sft")
        one, _ = load_trainer(prepare(order))
        losses.append(one.compute_loss(one.model, next(iter(one.get_train_dataloader()))).item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    record = train(prepare(wanted(source, tiny, tmp_path / "packed", "packing=true", method="sft")), Progress())
    assert record.rows.sequences < record.rows.kept / 2
    assert len(toy.metrics(tmp_path / "packed")) == record.steps == -(-record.rows.sequences // 4)


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_adapters_of_a_quantised_base_learn_too(quantization: str, source: Path, tiny: Path, tmp_path: Path) -> None:
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    out = tmp_path / "out"
    settings = ("learning_rate=5e-3", "merge=true", f"quantization={quantization}")
    ready = prepare(wanted(source, tiny, out, *settings, method="sft"))
    exact = prepare(wanted(source, tiny, tmp_path / "exact", method="sft"))
    assert ready.plan.need.weights < exact.plan.need.weights
    one, _ = load_trainer(prepare(wanted(source, tiny, tmp_path / "looked at", *settings, method="sft")))
    numbers = {str(weight.dtype) for weight in one.model.parameters()}
    assert numbers == {"torch.float32", {"4bit": "torch.uint8", "8bit": "torch.int8"}[quantization]}
    train(ready, Progress())
    train(exact, Progress())
    seen = toy.metrics(out)
    assert seen[-1]["loss"] < seen[0]["loss"]
    assert seen[0]["loss"] == pytest.approx(toy.metrics(tmp_path / "exact")[0]["loss"], abs=0.3)
    tokens = torch.arange(40)[None]
    whole = AutoModelForCausalLM.from_pretrained(out / "merged")
    assert torch.allclose(whole(tokens).logits, AutoPeftModelForCausalLM.from_pretrained(out)(tokens).logits, atol=1e-3)


def test_processes_that_nobody_counted_are_refused(source: Path, tiny: Path, tmp_path: Path) -> None:
    said = refusal(source, tiny, tmp_path / "out", processes=2)
    assert "1 processes train together, and WORLD_SIZE says 2" in said


def test_only_answers_are_scored(source: Path, tiny: Path, tmp_path: Path) -> None:
    from torch.utils.flop_counter import FlopCounterMode
    from trl.kernels.chunked_logprob import _use_triton
    from trl.trainer import utils

    one, _ = load_trainer(prepare(wanted(source, tiny, tmp_path / "out")))
    batch = next(iter(one.get_train_dataloader()))
    seen = []
    for every in (utils._use_triton, _use_triton):
        utils._use_triton = every
        with FlopCounterMode(display=False) as counter:
            loss = one.compute_loss(one.model, batch)
        seen.append((loss.item(), counter.get_total_flops()))
    (ours, less), (theirs, more) = seen
    assert ours == pytest.approx(theirs, abs=1e-6)
    assert less < more
