"""Strike builds and trainings at drawn points, and resume them: `scripts/chaos [--points N] [--seed S] [--faults A,B]`.

A point is the number of a file operation of one command, over all its processes. There, a process is killed (`kill`),
also in the middle of a write (`torn`), or stopped for good (`stop`), or the disk is full (`full`); `clock` is a kill,
after which all files are of another time. The same command again must end in the release of an undisturbed one.

`--damage run,rows,release,hub,caches` changes one byte of each kind of file there instead (`rows`: so that its line
stays valid), or cuts it short: the same command must end in the same release, or name the file in one line, and the
line to delete. The last line is JSON; what did not end so stays in the work folder.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.chaos import damage
from tests.chaos.points import SHARES, Chaos, report


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--points", type=int, default=200, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="which")
    parser.add_argument("--first", type=int, default=1, help="number of the first one")
    parser.add_argument("--faults", default="kill,torn", help="of: kill, torn, stop, full, clock")
    parser.add_argument("--subject", default="", choices=["", *SHARES], help="only of this subject")
    parser.add_argument("--damage", default="", help=f"of: {', '.join(damage.KINDS)}; each file --points times")
    parser.add_argument("--work", type=Path, help="folder to work in; a temporary one")
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="plum-chaos-"))
    if options.damage:
        return damaged(options, work)
    chaos, began, outcomes = Chaos(work, options.seed), time.monotonic(), []
    faults = tuple(options.faults.split(","))
    for number in range(options.first, options.first + options.points):
        point = chaos.draw(number, faults=faults, subject=options.subject)
        found, problems = chaos.problems(point)
        outcomes.append((point, found, problems))
        print(
            f"{number:>4} {point.subject:<9}{point.at:>5} {found.struck}: {'equal' if not problems else ''}", flush=True
        )
        for problem in problems:
            print(f"     {' '.join(problem.split())[:700]}", flush=True)
    report(outcomes, print)
    equal = sum(not problems for _, _, problems in outcomes)
    struck = Counter(" ".join(found.struck.split()[:3]) for _, found, _ in outcomes)
    print(json.dumps({
        "points": len(outcomes), "equal": equal, "seed": options.seed, "struck": struck,
        "seconds": round(time.monotonic() - began), "cpu": platform.processor() or platform.machine(),
    }))  # fmt: skip
    return 0 if equal == len(outcomes) else 1


def damaged(options: argparse.Namespace, work: Path) -> int:
    """Damage files, and count what came of it."""
    results: Counter[str] = Counter()
    for kind in options.damage.split(","):
        whole = damage.Whole(work / ("typed" if kind == "caches" else "whole"), typed=kind == "caches")
        seeds = range(options.seed, options.seed + options.points)
        for result, what in damage.verdicts(whole, seeds, damage.KINDS[kind]):
            results[result] += 1
            print(f"{result:<10}{' '.join(what.split())[:900]}", flush=True)
    print(json.dumps({"damaged": sum(results.values()), "seed": options.seed, "results": results}))
    return 0 if set(results) <= {"equal", "mended", "refused", "absent"} else 1


if __name__ == "__main__":
    raise SystemExit(main())
