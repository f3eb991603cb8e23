"""`plum-hub evaluate --samples` beside `evalplus.evaluate`, on the same files of samples, in one run.

EvalPlus comes from PyPI into an environment of its own under plum-hub's home folder, made on first use. Each side is
called as a user calls it, with the benchmarks as files, and the clock runs around the whole call. Expected outputs are
known to either side before its clock runs. EvalPlus is run twice:

    time_vs_evalplus                our wall time over EvalPlus', both as they are called without further options.
                                    EvalPlus then has a worker for every second core, we have one for each.
    time_vs_evalplus_same_workers   the same with `--parallel` as many as there are cores.

Both write an eval_results.json; the verdicts in them are compared: whether base was passed, and whether base and plus
were, which is all that EvalPlus' scores are made of (what has failed base we do not try on plus).

Samples are those of a model where `--run` names the folder of an evaluation of HumanEval+ and MBPP+ with ten samples a
problem. Else they are made: of each ten seven are the problem's own solution, two give another value and one raises;
every one has a statement of its own, so that no two are equal and none shares another's run. The solutions of a few
problems take seconds (HumanEval/139, Mbpp/599), which either side has to spend on every sample: `programs_cpu` says how
much of our CPU time that is.

The last of every five problems is taken, which on two idle cores should take some eight minutes; `--every 1` takes all.

    scripts/bench evaluate [--every 5] [--run FOLDER] [--samples 10] [--rounds 1] [--only humaneval mbpp]
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

from judging import material

from plum_hub.benchmarks import load
from plum_hub.home import home

FILES = {"humaneval": "HumanEvalPlus.jsonl.gz", "mbpp": "MbppPlus.jsonl.gz"}
_WARM = {
    "humaneval": """
from evalplus.data import get_human_eval_plus, get_human_eval_plus_hash
from evalplus.evaluate import get_groundtruth
get_groundtruth(get_human_eval_plus(), get_human_eval_plus_hash(), [])
""",
    "mbpp": """
from evalplus.data import get_mbpp_plus, get_mbpp_plus_hash
from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS
from evalplus.evaluate import get_groundtruth
get_groundtruth(get_mbpp_plus(), get_mbpp_plus_hash(), MBPP_OUTPUT_NOT_NONE_TASKS)
""",
}


def write_problems(source: Path, target: Path, every: int) -> list[dict[str, Any]]:
    """Write every n-th problem of EvalPlus' file, and return them."""
    lines = gzip.decompress(source.read_bytes()).decode().splitlines()[every - 1 :: every]
    target.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    return [json.loads(line) for line in lines]


def write_samples(problems: list[dict[str, Any]], target: Path, count: int) -> int:
    """Write `count` samples of each problem; return how many there are in all."""
    rows = [
        {"task_id": problem["task_id"], "solution": f"{_variant(problem, number)}\n_sample = {number}\n"}
        for problem in problems
        for number in range(count)
    ]
    target.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return len(rows)


def copy_samples(problems: list[dict[str, Any]], source: Path, target: Path) -> int:
    """Copy the samples of these problems into another file; return how many there are."""
    names = {problem["task_id"] for problem in problems}
    lines = [line for line in source.read_text().splitlines(keepends=True) if json.loads(line)["task_id"] in names]
    target.write_text("".join(lines))
    return len(lines)


def _variant(problem: dict[str, Any], number: int) -> str:
    name, right = problem["entry_point"], str(problem["prompt"] + problem["canonical_solution"])
    match number % 10:
        case 3 | 6:
            return f"{right}\n\n_right = {name}\ndef {name}(*arguments):\n    return [_right(*arguments)]\n"
        case 8:
            return f"def {name}(*arguments):\n    raise ValueError('not solved')\n"
    return right


def timed(command: list[str], environment: dict[str, str], log: Path) -> tuple[float, float]:
    """Return wall and CPU seconds of a command, which has to succeed."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("w") as file:
        ended = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False)
    seconds = time.perf_counter() - began
    if ended.returncode:
        sys.exit(f"failed: {' '.join(command)}\n{log.read_text()[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def verdicts(path: Path) -> dict[tuple[str, int], tuple[bool, bool]]:
    """Return whether each sample passed base, and base and plus, by problem and position."""
    found = json.loads(path.read_text())["eval"]
    return {
        (name, place): (base, base and row["plus_status"] == "pass")
        for name, rows in found.items()
        for place, row in enumerate(rows)
        for base in [row["base_status"] == "pass"]
    }


def programs_cpu(path: Path) -> float:
    """Return the CPU seconds of the programs themselves, below which no judge can go. Equal programs run once."""
    rows = map(json.loads, path.read_text().splitlines())
    runs = {(row["problem"], row["suite"], row["cpu_seconds"] or 0.0) for row in rows if ":" not in row["suite"]}
    return float(sum(seconds for _, _, seconds in runs))


@dataclass(frozen=True)
class Material:
    """Problems and samples of one benchmark, as files; `whole` has all problems."""

    name: str
    whole: Path
    part: Path
    samples: Path
    count: int

    @classmethod
    def written(cls, name: str, options: argparse.Namespace, folder: Path) -> "Material":
        """Make or copy the samples, as the options say."""
        whole, part, samples = options.data / "evalplus" / FILES[name], folder / FILES[name], folder / f"{name}.jsonl"
        problems = write_problems(whole, part, options.every)
        if options.run is None:
            count = write_samples(problems, samples, options.samples)
        else:
            count = copy_samples(problems, options.run / f"{name}+_samples.jsonl", samples)
        return cls(name, whole, part, samples, count)

    @property
    def environment(self) -> dict[str, str]:
        """Return EvalPlus' environment variables: these problems, and a cache of its own."""
        key = "HUMANEVAL_OVERRIDE_PATH" if self.name == "humaneval" else "MBPP_OVERRIDE_PATH"
        return {**os.environ, key: str(self.part), "XDG_CACHE_HOME": str(home() / "bench" / "evalplus-cache")}


def evalplus(python: Path, of: Material, parallel: int | None) -> tuple[float, float, Path]:
    """Run EvalPlus with so many workers (None: its default). Return wall and CPU seconds and its results."""
    results = of.samples.with_name(f"{of.samples.stem}_eval_results.json")
    results.unlink(missing_ok=True)  # it would only read them
    command = [str(python), "-P", "-m", "evalplus.evaluate", "--dataset", of.name, "--samples", str(of.samples)]
    command += [] if parallel is None else ["--parallel", str(parallel)]
    return *timed(command, of.environment, of.samples.with_suffix(".log")), results


def plum_hub(of: Material, run: Path) -> tuple[float, float, Path]:
    """Run plum-hub. Return wall and CPU seconds and its results."""
    command = [sys.executable, "-m", "plum_hub", "evaluate", "--samples", str(of.samples), "--benchmark", f"{of.name}+"]
    command += ["--data", str(of.whole), "--run", str(run), "--partial", "-q"]
    return *timed(command, dict(os.environ), of.samples.with_suffix(".log")), run / f"{of.name}+_eval_results.json"


def measured(python: Path, of: Material, run: Path) -> dict[str, Any]:
    """Measure one round of one benchmark."""
    ours, our_cpu, our_results = plum_hub(of, run)
    default, default_cpu, _ = evalplus(python, of, None)
    same_workers, same_workers_cpu, their_results = evalplus(python, of, os.cpu_count())
    mine, other = verdicts(our_results), verdicts(their_results)
    differ = sorted({key[0] for key in other if mine[key] != other[key]})
    same = sum(mine[key] == other[key] for key in other)
    programs = programs_cpu(run / "verdicts.jsonl")
    print(
        f"{of.name}+: {of.count} samples\n"
        f"  ours, by default              {ours:7.1f} s {our_cpu:7.1f} CPU s, {programs:.1f} of them the programs'\n"
        f"  EvalPlus, by default          {default:7.1f} s {default_cpu:7.1f} CPU s, ratio {ours / default:.3f}\n"
        f"  EvalPlus, a worker for a core {same_workers:7.1f} s {same_workers_cpu:7.1f} CPU s, "
        f"ratio {ours / same_workers:.3f}\n"
        f"  verdicts the same: {same} of {len(other)} {differ or ''}"
    )
    seconds = {
        "ours": ours, "our_cpu": our_cpu, "programs_cpu": programs, "evalplus": default, "evalplus_cpu": default_cpu,
        "evalplus_same_workers": same_workers, "evalplus_same_workers_cpu": same_workers_cpu,
    }  # fmt: skip
    return {"samples": of.count, **seconds, "same": same, "of": len(other), "differ": differ}


def warm(python: Path, of: Material) -> None:
    """Make both sides compute the expected outputs that they do not have cached."""
    script = _WARM[of.name]
    subprocess.run([str(python), "-P", "-c", script], env=of.environment, check=True, stdout=subprocess.DEVNULL)
    list(load(f"{of.name}+", source=of.whole).problems())


def main() -> None:
    """Run the rounds; the last line is JSON."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    parser = argparse.ArgumentParser(prog="scripts/bench evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=default, help="folder with evalplus/")
    parser.add_argument("--run", type=Path, help="folder of an evaluation whose samples are judged")
    parser.add_argument("--every", type=int, default=5, metavar="N", help="take every N-th problem")
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=FILES, default=list(FILES))
    options = parser.parse_args()
    if not all((options.data / "evalplus" / file).is_file() for file in FILES.values()):
        sys.exit(f"EvalPlus' data is not in {options.data}; name its folder with --data")
    python = material.environment()
    print("running both sides' own solutions for the expected values, where they are not kept yet", file=sys.stderr)
    rows: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            of = Material.written(name, options, Path(folder))
            warm(python, of)
            rows[name] = [measured(python, of, Path(folder, f"{name}-{number}")) for number in range(options.rounds)]
    total = {
        side: sum(statistics.median(row[side] for row in of) for of in rows.values())
        for side in ("ours", "our_cpu", "evalplus", "evalplus_same_workers", "evalplus_same_workers_cpu")
    }
    same, count = (sum(row[key] for of in rows.values() for row in of) for key in ("same", "of"))
    ratios = {
        "time_vs_evalplus": total["ours"] / total["evalplus"],
        "time_vs_evalplus_same_workers": total["ours"] / total["evalplus_same_workers"],
        "cpu_vs_evalplus": total["our_cpu"] / total["evalplus_same_workers_cpu"],
    }
    print(json.dumps({**ratios, "verdicts_same": same / count, "cores": os.cpu_count(), "details": rows}))


if __name__ == "__main__":
    main()
