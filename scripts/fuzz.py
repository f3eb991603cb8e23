"""Fuzz what reads hostile input: `scripts/fuzz TARGET|all [--runs N] [--seconds S] [--seed S] [--coverage]`.

Inputs are mutations of whole ones, the same for the same seed; --coverage lets atheris choose them by the branches that
they reach (`pip install atheris`, Python 3.11 to 3.13). Nothing that is generated is executed. The last line is JSON.
"""

import argparse
import importlib.util
import json
import platform
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

if "--child" in sys.argv:  # what atheris is to see is instrumented as it is imported
    import atheris

    with atheris.instrument_imports(include=["plum_hub"], enable_loader_override=False):
        from tests.fuzz_targets import TARGETS, Target, inputs
else:
    from tests.fuzz_targets import TARGETS, Target, inputs


def run(target: Target, count: int, seconds: float, seed: int) -> dict[str, object]:
    """Feed a target, and return how many inputs it took and what escaped."""
    started, taken, slowest = time.perf_counter(), 0, 0.0
    found: dict[str, str] = {}
    before = started
    for data in inputs(target, count, seed):
        try:
            target.meet(data)
        except Exception as error:  # noqa: BLE001 - whatever escapes is what is looked for
            place = traceback.extract_tb(error.__traceback__)[-1]
            key = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
            found.setdefault(key, f"{data[:400]!r}: {error}")
        taken += 1
        now = time.perf_counter()
        slowest, before = max(slowest, now - before), now
        if now - started > seconds:
            break
    return {"inputs": taken, "seconds": time.perf_counter() - started, "slowest": slowest, "escaped": found}


def cover(target: Target, count: int, seconds: float, seed: int) -> dict[str, object]:
    """The same by atheris, which ends its process: so in one of its own."""
    command = [
        sys.executable,
        __file__,
        target.name,
        "--child",
        str(count),
        "--seed",
        str(seed),
        "--seconds",
        str(seconds),
    ]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = [line for line in done.stderr.splitlines() if line.startswith("Done ")]
    taken = int(said[-1].split()[1]) if said else 0
    escaped = {} if done.returncode == 0 and said else {"atheris": (done.stdout + done.stderr)[-1500:]}
    return {"inputs": taken, "seconds": time.perf_counter() - started, "slowest": 0.0, "escaped": escaped}


def child(target: Target, options: argparse.Namespace) -> None:
    """Fuzz a target by atheris, to the end of this process."""
    limits = [f"-runs={options.child}", f"-max_total_time={int(min(options.seconds, 1e8))}", "-max_len=4000"]
    limits += [f"-seed={options.seed or 1}", "-rss_limit_mb=4096"]
    corpus = Path(tempfile.mkdtemp())
    for number, whole in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(whole)
    atheris.Setup([sys.argv[0], *limits, str(corpus)], target.meet)
    atheris.Fuzz()


def main() -> int:
    names = [target.name for target in TARGETS]
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("target", help=f"all, or one of: {', '.join(names)}")
    parser.add_argument("--runs", type=int, default=10_000, help="inputs in all; fast targets take more of them")
    parser.add_argument("--seconds", type=float, default=1e9, help="most seconds of each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--coverage", action="store_true", help="inputs chosen by atheris")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = [one for one in TARGETS if options.target in ("all", one.name)]
    if not chosen:
        parser.error(f"no target {options.target!r}; name all, or one of: {', '.join(names)}")
    if options.child is not None:
        child(chosen[0], options)
        return 0
    if options.coverage and importlib.util.find_spec("atheris") is None:
        parser.error("--coverage needs atheris: run  .venv/bin/python -m pip install atheris")
    whole, results = sum(one.weight for one in chosen), {}
    print(f"{'target':<24}{'inputs':>12}{'a second':>12}{'slowest ms':>12}{'escaped':>9}", flush=True)
    for target in chosen:
        count = max(len(target.seeds), options.runs * target.weight // whole)
        result = (cover if options.coverage else run)(target, count, options.seconds, options.seed)
        results[target.name] = result
        speed = result["inputs"] / max(result["seconds"], 1e-9)  # type: ignore[operator]
        print(
            f"{target.name:<24}{result['inputs']:>12,}{speed:>12,.0f}{result['slowest'] * 1000:>12.1f}"  # type: ignore[operator,str-bytes-safe]
            f"{len(result['escaped']):>9}",  # type: ignore[arg-type]
            flush=True,
        )
        for place, said in result["escaped"].items():  # type: ignore[attr-defined]
            print(f"    {place}\n    {said}", flush=True)
    total = sum(result["inputs"] for result in results.values())  # type: ignore[misc]
    escaped = sum(len(result["escaped"]) for result in results.values())  # type: ignore[misc,arg-type]
    print(json.dumps({
        "inputs": total, "escaped": escaped, "seed": options.seed, "coverage": options.coverage,
        "cpu": platform.processor() or platform.machine(), "targets": results,
    }))  # fmt: skip
    return 1 if escaped else 0


if __name__ == "__main__":
    raise SystemExit(main())
