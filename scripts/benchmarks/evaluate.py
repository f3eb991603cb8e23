"""`plum-hub evaluate --samples` beside `evalplus.evaluate`, on the same files of samples, in one run.

EvalPlus comes from PyPI into an environment of its own under plum-hub's home folder, made on first use. Each side is
called as a user calls it, with the benchmarks as files and equally many workers, and the clock runs around the whole
call. Expected outputs are known to either side before its clock runs. Both write an eval_results.json; the verdicts in
them are compared: whether base was passed, and whether base and plus were, which is all that EvalPlus' scores are made
of (what has failed base we do not try on plus).

Samples are those of a model where `--run` names the folder of an evaluation of HumanEval+ and MBPP+ with ten samples a
problem. Else they are made: of each ten seven are the problem's own solution, two give another value and one raises;
every one has a statement of its own, so that no two are equal and none shares another's run. The solutions of a few
problems take seconds (HumanEval/139, Mbpp/599), which either side has to spend on every sample: `programs_cpu` says how
much of our CPU time that is.

    scripts/bench evaluate [--run FOLDER] [--workers 2] [--samples 10] [--rounds 1] [--only humaneval mbpp]
"""

import argparse
import gzip
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

from judging import material

from plum_hub.benchmarks import load
from plum_hub.home import home

FILES = {"humaneval": "HumanEvalPlus.jsonl.gz", "mbpp": "MbppPlus.jsonl.gz"}
_WARM = """
from evalplus.data import get_human_eval_plus, get_human_eval_plus_hash, get_mbpp_plus, get_mbpp_plus_hash
from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS
from evalplus.evaluate import get_groundtruth
get_groundtruth(get_human_eval_plus(), get_human_eval_plus_hash(), [])
get_groundtruth(get_mbpp_plus(), get_mbpp_plus_hash(), MBPP_OUTPUT_NOT_NONE_TASKS)
"""


def write_samples(source: Path, target: Path, count: int) -> int:
    """`count` samples of each problem of EvalPlus' file; returns how many there are in all."""
    rows = []
    for line in gzip.decompress(source.read_bytes()).decode().splitlines():
        problem = json.loads(line)
        rows += [
            {"task_id": problem["task_id"], "solution": f"{_variant(problem, number)}\n_sample = {number}\n"}
            for number in range(count)
        ]
    target.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return len(rows)


def _variant(problem: dict[str, Any], number: int) -> str:
    name, right = problem["entry_point"], problem["prompt"] + problem["canonical_solution"]
    match number % 10:
        case 3 | 6:
            return f"{right}\n\n_right = {name}\ndef {name}(*arguments):\n    return [_right(*arguments)]\n"
        case 8:
            return f"def {name}(*arguments):\n    raise ValueError('not solved')\n"
    return right


def timed(command: list[str], environment: dict[str, str], log: Path) -> tuple[float, float]:
    """Wall and CPU seconds of a command that has to succeed."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("w") as file:
        ended = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False)
    seconds = time.perf_counter() - began
    if ended.returncode:
        sys.exit(f"failed: {' '.join(command)}\n{log.read_text()[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def verdicts(path: Path) -> dict[tuple[str, int], tuple[bool, bool]]:
    """(base, base and plus) of each sample, by problem and place: whether they were passed."""
    found = json.loads(path.read_text())["eval"]
    return {
        (name, place): (base, base and row["plus_status"] == "pass")
        for name, rows in found.items()
        for place, row in enumerate(rows)
        for base in [row["base_status"] == "pass"]
    }


def programs_cpu(path: Path) -> float:
    """What the programs themselves took: no judge can have less of the right ones."""
    rows = map(json.loads, path.read_text().splitlines())
    return sum(row["cpu_seconds"] or 0.0 for row in rows if ":" not in row["suite"])


def measured(name: str, options: argparse.Namespace, python: Path, folder: Path, number: int) -> dict[str, Any]:
    """One round of one benchmark."""
    source = options.data / "evalplus" / FILES[name]
    samples = folder / f"{name}{number}.jsonl"
    if options.run is None:
        count = write_samples(source, samples, options.samples)
    else:
        samples.write_bytes((options.run / f"{name}+_samples.jsonl").read_bytes())
        count = samples.read_bytes().count(b"\n")
    environment = peer_environment(options.data)
    theirs, their_cpu = timed(
        [
            str(python), "-P", "-m", "evalplus.evaluate", "--dataset", name, "--samples", str(samples),
            "--parallel", str(options.workers),
        ],
        environment, folder / "evalplus.log",
    )  # fmt: skip
    run = folder / f"run-{name}{number}"
    ours, our_cpu = timed(
        [
            sys.executable, "-m", "plum_hub", "evaluate", "--samples", str(samples), "--benchmark", f"{name}+",
            "--data", str(source), "--run", str(run), "--workers", str(options.workers), "-q",
        ],
        dict(os.environ), folder / "plum-hub.log",
    )  # fmt: skip
    mine = verdicts(run / f"{name}+_eval_results.json")
    other = verdicts(samples.with_name(f"{samples.stem}_eval_results.json"))
    differ = sorted({key[0] for key in other if mine[key] != other[key]})
    same = sum(mine[key] == other[key] for key in other)
    programs = programs_cpu(run / "verdicts.jsonl")
    print(
        f"{name}+: {count} samples, ours {ours:.1f} s ({our_cpu:.1f} CPU, {programs:.1f} of it the programs'), ", end=""
    )
    print(f"EvalPlus {theirs:.1f} s ({their_cpu:.1f} CPU), ratio {ours / theirs:.3f}; ", end="")
    print(f"verdicts the same: {same}/{len(other)} {differ or ''}")
    seconds = {
        "ours": ours, "our_cpu": our_cpu, "programs_cpu": programs, "evalplus": theirs, "evalplus_cpu": their_cpu,
    }  # fmt: skip
    return {"samples": count, **seconds, "same": same, "of": len(other), "differ": differ}


def peer_environment(data: Path) -> dict[str, str]:
    """EvalPlus with the same files as we, and a cache of its own."""
    return {
        **os.environ,
        "HUMANEVAL_OVERRIDE_PATH": str(data / "evalplus" / FILES["humaneval"]),
        "MBPP_OVERRIDE_PATH": str(data / "evalplus" / FILES["mbpp"]),
        "XDG_CACHE_HOME": str(home() / "bench" / "evalplus-cache"),
    }


def main() -> None:
    """Run the rounds; the last line is JSON."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    parser = argparse.ArgumentParser(prog="scripts/bench evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=default, help="folder with evalplus/")
    parser.add_argument("--run", type=Path, help="folder of an evaluation whose samples are judged")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=FILES, default=list(FILES))
    options = parser.parse_args()
    if not all((options.data / "evalplus" / file).is_file() for file in FILES.values()):
        sys.exit(f"EvalPlus' data is not in {options.data}; name its folder with --data")
    python = material.environment()
    print("running both sides' own solutions for the expected values, where they are not kept yet", file=sys.stderr)
    subprocess.run(
        [str(python), "-P", "-c", _WARM], env=peer_environment(options.data), check=True, stdout=subprocess.DEVNULL
    )
    for name in options.only:
        list(load(f"{name}+", source=options.data / "evalplus" / FILES[name]).problems())
    with tempfile.TemporaryDirectory() as folder:
        rows = {
            name: [measured(name, options, python, Path(folder), number) for number in range(options.rounds)]
            for name in options.only
        }
    ours, theirs, our_cpu, their_cpu = (
        sum(statistics.median(row[side] for row in of) for of in rows.values())
        for side in ("ours", "evalplus", "our_cpu", "evalplus_cpu")
    )
    ratios = {"time_vs_evalplus": ours / theirs, "cpu_vs_evalplus": our_cpu / their_cpu}
    same, count = (sum(row[key] for of in rows.values() for row in of) for key in ("same", "of"))
    print(json.dumps({**ratios, "verdicts_same": same / count, "details": rows}))


if __name__ == "__main__":
    main()
