"""What a build spends is known, and can be limited without losing or repeating an answer."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from plum_hub.engines.base import Completion, Request, Sampling
from plum_hub.engines.openai import OpenAIConfig
from plum_hub.errors import BudgetError, UsageError
from plum_hub.pipeline.ledger import SpendingLimit
from tests.rehearsal import command, plum_hub, rows, write_rehearsal

KINDS = ("responses", "suites", "samples", "preferences")
GREEDY = Sampling(temperature=0, top_p=1, max_tokens=10)


def spent(folder: Path) -> int:
    return sum(
        int(str(row["prompt_tokens"])) + int(str(row["completion_tokens"]))
        for kind in ("responses", "samples")
        if (folder / "run" / "shards" / "00000" / f"{kind}.jsonl").exists()
        for row in rows(folder / "run", kind)
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ledger")
    write_rehearsal(folder)
    done = plum_hub(command(folder, "--json"))
    assert done.returncode == 0, done.stderr
    (folder / "result.json").write_text(done.stdout)
    return folder


def test_a_limited_build_stops_in_each_stage_and_ends_as_an_unlimited_one(whole: Path, tmp_path: Path) -> None:
    write_rehearsal(tmp_path)
    total = spent(whole)
    limits = [total // 4, total * 3 // 4]
    for limit in limits:
        done = plum_hub(command(tmp_path, "-q", "--max-tokens", str(limit)))
        assert done.returncode == 15, done.stderr
        assert "run the same command with a higher --budget or --max-tokens" in done.stderr
        assert limit * 0.7 < spent(tmp_path) < limit + 0.25 * total  # the last group of a rehearsal is a large part
    done = plum_hub(command(tmp_path, "-q", "--max-tokens", str(2 * total)))
    assert done.returncode == 0, done.stderr
    for kind in KINDS:
        one, other = ({json.dumps(row, sort_keys=True) for row in rows(f / "run", kind)} for f in (whole, tmp_path))
        assert one == other, kind


def test_what_another_run_had_paid_for_is_not_spent_again(whole: Path, tmp_path: Path) -> None:
    write_rehearsal(tmp_path)
    carry = ["-q", "--carry-over", str(whole / "run"), "--set", "samples.seed=7"]
    responses = sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows(whole / "run", "responses"))
    made = []
    for limit in (responses // 20, responses // 10):
        done = plum_hub(command(tmp_path, *carry, "--max-tokens", str(limit)))
        assert done.returncode == 15, done.stderr
        made.append(len(rows(tmp_path / "run", "samples")))
    assert 0 < made[0] < made[1]
    done = plum_hub(command(tmp_path, *carry))
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "run", "responses")) == len(rows(whole / "run", "responses"))


def test_status_says_what_was_spent(whole: Path) -> None:
    result = json.loads((whole / "result.json").read_text())
    assert [stage["stage"] for stage in result["spending"]] == ["responses", "samples"]
    total = sum(stage["prompt_tokens"] + stage["completion_tokens"] for stage in result["spending"])
    assert total == spent(whole)
    assert [stage["usd"] for stage in result["spending"]] == [0.0, 0.0]
    assert [stage["answers"] for stage in result["spending"]] == [
        len(rows(whole / "run", k)) for k in ("responses", "samples")
    ]


def send(limit: SpendingLimit, requests: Sequence[Request], engine: OpenAIConfig, tokens: int) -> int:
    """Answer as an engine would, each answer with so many tokens; return how many were answered."""
    answered = 0
    for group in limit.groups(requests, engine):
        for request in group:
            limit.add(
                engine,
                Completion(id=request.id, text="", finish_reason="stop", prompt_tokens=0, completion_tokens=tokens),
            )
            answered += 1
    return answered


def test_a_limit_in_dollars_is_kept_to_within_the_first_group() -> None:
    engine = OpenAIConfig(model="m", usd_per_million_input=1.0, usd_per_million_output=2.0)
    requests = [Request(id=str(number), prompt="p", seed=0, sampling=GREEDY) for number in range(1000)]
    limit = SpendingLimit(usd=0.5)  # 250 answers of 1,000 tokens
    with pytest.raises(BudgetError, match="250 answers"):
        send(limit, requests, engine, 1000)
    assert send(SpendingLimit(usd=50), requests, engine, 1000) == 1000
    assert send(SpendingLimit(), requests, engine, 1000) == 1000


def test_a_limit_in_dollars_needs_a_price(tmp_path: Path) -> None:
    from plum_hub.engines.scripted import ScriptedConfig

    assert OpenAIConfig(model="nobody-knows", base_url="http://127.0.0.1:1/v1").usd_per_million_tokens() is None
    assert ScriptedConfig(model=str(tmp_path / "a.jsonl")).usd_per_million_tokens() == (0.0, 0.0, 0.0)


def test_what_costs_nothing_has_no_limit_in_dollars() -> None:
    free = OpenAIConfig(model="m", usd_per_million_input=0.0, usd_per_million_output=0.0)
    requests = [Request(id=str(number), prompt="p", seed=0, sampling=GREEDY) for number in range(1000)]
    limit = SpendingLimit(usd=0.5)
    limit.account.note(0, 1_000_000, 0.6, 300)
    assert [len(group) for group in limit.groups(requests, free)] == [1000]
    with pytest.raises(BudgetError, match="after 500 answers"):
        send(SpendingLimit(usd=0.5, tokens=50_000), requests, free, 100)


def test_no_more_is_reserved_than_is_sent() -> None:
    engine = OpenAIConfig(model="m", usd_per_million_input=1.0, usd_per_million_output=2.0)
    limit = SpendingLimit(usd=50)
    limit.account.note(0, 100_000, 0.2, 100)
    requests = [Request(id=str(number), prompt="p", seed=0, sampling=GREEDY) for number in range(3)]
    (group,) = limit.groups(requests, engine, together=True)
    assert limit.account.pending == {"0": len(group)} == {"0": 3}


def test_one_process_does_not_spend_what_the_answers_of_another_will_take() -> None:
    limit = SpendingLimit(tokens=1000, sharers=3)
    account = limit.account
    assert [account.take(limit, holder, 4, 64) for holder in range(3)] == [1, 1, 1]  # no average is known
    account.note(0, 100, 0.0)
    assert account.take(limit, 0, 4, 64) == 2  # of 9 that fit, 2 are on their way to the others: a third of 7
    for _ in range(2):
        account.note(0, 100, 0.0)
    while account.tokens < 1000:  # the others are slow: the fast one gets no more than the limit
        size = account.take(limit, 0, 4, 64)
        assert size * 100 <= max(100, 1000 - account.tokens - 200)
        account.note(0, 100 * size, 0.0, size)
    assert account.take(limit, 0, 4, 64) == 0
    for holder in (1, 2):
        account.note(holder, 100, 0.0)
        assert account.take(limit, holder, 4, 64) == 0
    assert account.tokens == 1200
    assert account.pending == {"0": 0, "1": 0, "2": 0}


def test_processes_count_in_one_file(tmp_path: Path) -> None:
    write_rehearsal(tmp_path, 2)
    first = SpendingLimit(tokens=1000)
    values = [first.shared(SimpleNamespace(folder=tmp_path), 2, number) for number in range(2)]
    one, other = map(SpendingLimit.of_shared, json.loads(json.dumps(values)))
    engine = OpenAIConfig(model="m", usd_per_million_input=1.0, usd_per_million_output=2.0)
    requests = [Request(id=str(number), prompt="p", seed=0, sampling=GREEDY) for number in range(10)]
    waiting = other.groups(requests, engine)
    assert len(next(waiting)) == 2  # which are not answered
    with pytest.raises(BudgetError, match=r"after 10 answers \(1,000 tokens"):
        send(one, requests * 2, engine, 100)
    with pytest.raises(BudgetError, match="after 10 answers"):
        next(waiting)


def test_small_answers_add_up() -> None:
    engine = OpenAIConfig(model="m", usd_per_million_input=0.02, usd_per_million_output=0.04)
    limit = SpendingLimit(usd=1.0)
    answer = Completion(id="1", text="", finish_reason="stop", prompt_tokens=9, completion_tokens=6)
    for _ in range(1000):
        limit.add(engine, answer)
    assert limit.account.usd == pytest.approx(0.00042)


@pytest.mark.parametrize("limit", [SpendingLimit(tokens=10), SpendingLimit(usd=1.0)])
def test_a_limit_that_cannot_be_kept_is_no_limit_in_silence(limit: SpendingLimit) -> None:
    engine = OpenAIConfig(model="m", usd_per_million_input=1e6, usd_per_million_output=1e6)
    requests = [Request(id=str(number), prompt="p", seed=0, sampling=GREEDY) for number in range(20)]
    with pytest.raises(UsageError, match="does not say how many tokens"):
        send(limit, requests, engine, 0)


@pytest.mark.parametrize(("budget", "tokens"), [(float("nan"), None), (float("inf"), None), (0.0, None), (None, 0)])
def test_a_limit_is_a_positive_number(budget: float | None, tokens: int | None) -> None:
    with pytest.raises(UsageError, match=r"--(budget|max-tokens) .*leave it out for no limit"):
        SpendingLimit.chosen(budget, tokens)
