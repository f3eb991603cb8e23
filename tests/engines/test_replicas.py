"""Copies of a model in processes of their own: what each is asked, and that none outlives the engine."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from plum_hub.engines import VllmConfig
from plum_hub.engines.base import Completion, Request, Sampling
from plum_hub.engines.replicas import ReplicatedEngine, deal, places
from plum_hub.errors import EngineError
from tests.engines import tiny

GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=10)
SAMPLED = Sampling(temperature=1.0, top_p=0.9, max_tokens=10)
real = pytest.mark.skipif(
    find_spec("vllm") is None or len(os.sched_getaffinity(0)) < 2, reason="needs vllm and two cores"
)
pytestmark = pytest.mark.filterwarnings("ignore")  # torch and vllm warn about themselves


def _requests(prompts: int, samples: int, sampling: Sampling = SAMPLED) -> list[Request]:
    return [
        Request(id=f"{prompt}.{index}", prompt=f"def f{prompt}(", seed=10 * prompt + index, sampling=sampling)
        for prompt in range(prompts)
        for index in range(samples)
    ]


def test_the_samples_of_a_prompt_stay_together() -> None:
    shares = deal(_requests(9, 4), 4)
    assert sorted(len(share) for share in shares) == [8, 8, 8, 12]
    owners = {request.prompt: number for number, share in enumerate(shares) for request in share}  # type: ignore[misc]
    for number, share in enumerate(shares):
        assert {owners[request.prompt] for request in share} == {number}  # type: ignore[index]


def test_a_single_prompt_is_divided_rather_than_waited_for() -> None:
    shares = deal(_requests(1, 10), 4)
    assert sorted(len(share) for share in shares) == [1, 3, 3, 3]
    assert deal([], 2) == [[], []]


def test_each_replica_has_gpus_of_its_own() -> None:
    eight = places(4, 2, list("01234567"), range(64))
    assert [place.environment["CUDA_VISIBLE_DEVICES"] for place in eight] == ["0,1", "2,3", "4,5", "6,7"]
    assert [place.name for place in eight][:1] == ["GPU 0 1"]
    assert all(not place.cores for place in eight)


def test_more_gpus_than_there_are() -> None:
    with pytest.raises(EngineError, match=r"needs 8 GPUs, and this machine has 2: set data_parallel=2"):
        places(8, 1, ["0", "1"], range(64))
    with pytest.raises(EngineError, match=r"tensor_parallel_size=4 needs 4 GPUs, and this machine has 2"):
        places(1, 4, ["0", "1"], range(64))


def test_without_a_gpu_the_cores_are_divided() -> None:
    assert [place.cores for place in places(2, 1, [], [0, 1, 2, 5, 6])] == [(0, 1), (2, 5, 6)]
    with pytest.raises(EngineError, match=r"has 2: set data_parallel=2 or less"):
        places(3, 1, [], [0, 1])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("replicas") / "tiny"
    tiny.write_tiny_model(folder)
    return str(folder)


def _config(model: str, replicas: int) -> VllmConfig:
    return VllmConfig(model=model, cpu_kv_cache_gb=0.1, dtype="float32", data_parallel=replicas)


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@real
def test_two_replicas_answer_as_one_and_the_death_of_one_is_an_error(model: str) -> None:
    chat = [{"role": "user", "content": "Add."}]
    requests = [*_requests(4, 3), Request(id="greedy", prompt=chat, seed=0, sampling=GREEDY)]
    with _config(model, 1).open() as alone:
        expected = {answer.id: answer for answer in alone.generate(requests)}
    with _config(model, 2).open() as engine:
        assert isinstance(engine, ReplicatedEngine)
        assert engine.identity == alone.identity
        assert {answer.id: answer for answer in engine.generate(requests)} == expected
        first, second = (replica.process.pid for replica in engine._replicas)
        got: list[Completion] = []
        os.kill(second, signal.SIGKILL)
        with pytest.raises(EngineError, match=r"replica 2 of 2 \(cores? .*\) of tiny was killed by SIGKILL") as caught:
            got += engine.generate(requests)
        assert str(caught.value).count("\n") == 0
        assert all(answer == expected[answer.id] for answer in got)
        with pytest.raises(EngineError, match="a replica has died"):
            list(engine.generate(requests))
    assert _gone(first)
    assert _gone(second)


_PARENT = """
import json, sys
from plum_hub.engines import VllmConfig
from plum_hub.engines.base import Request, Sampling
engine = VllmConfig.model_validate_json(sys.argv[1]).open()
print(json.dumps([replica.process.pid for replica in engine._replicas]), flush=True)
sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=200)
while True:
    list(engine.generate([Request(id=str(n), prompt=f"def f{n}(", seed=n, sampling=sampling) for n in range(8)]))
"""


@real
def test_no_replica_outlives_a_parent_that_is_killed(model: str) -> None:
    command = [sys.executable, "-c", _PARENT, _config(model, 2).pin().model_dump_json()]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as parent:
        assert parent.stdout is not None
        replicas = json.loads(parent.stdout.readline())
        assert len(replicas) == 2
        assert not any(map(_gone, replicas))
        parent.kill()
    until = time.monotonic() + 60
    while not all(map(_gone, replicas)) and time.monotonic() < until:
        time.sleep(0.1)
    assert all(map(_gone, replicas))


@real
def test_a_model_that_does_not_load_is_told_by_its_replica(tmp_path: Path) -> None:
    tiny.write_tiny_model(tmp_path / "tiny")
    (tmp_path / "tiny" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(EngineError, match=r"replica [12] of 2 \(cores? .*\): vLLM cannot load") as caught:
        _config(str(tmp_path / "tiny"), 2).open()
    assert str(caught.value).count("\n") == 0
