"""What a Ray cluster costs beside local workers: the same build of scripted answers on both, with the real judge.

The cluster is two nodes on this machine, started here on the loopback interface, with a core each; the peer is
`--workers 2`. Both runs have the same shards, and their releases are compared.
Inputs are those of `scripts/bench scale`. Keys:

- seconds_local, seconds_ray: of `build-dataset`;
- overhead: the second by the first;
- ms_per_row: the difference, for each sample;
- equal: whether the digests of both releases agree.

    scripts/bench ray [--rows 20000]
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

from scale import SAMPLES, measured, write_inputs


def built(folder: Path, name: str, *more: str) -> dict[str, Any]:
    """Build the run of a name; return what it took, and the digests of its release."""
    keys = [f"samples.per_instruction={SAMPLES}", "suites.responses=1", "instructions.near_duplicates=1.0"]
    keys += ["verdicts.mypy_codes=[]", "decontamination.benchmarks=[]"]
    taken = measured(
        folder, "build-dataset", "--model", "scripted:answers.jsonl", "--instructions", "tasks.jsonl", "--run", name,
        "--hub", "none", "--quiet", *more, *(part for key in keys for part in ("--set", key)),
    )  # fmt: skip
    content = json.loads((folder / name / "release" / "dataset" / "manifest.json").read_text())["content"]
    content.pop("samples")  # which hold CPU seconds
    shards = folder / name / "shards"
    size = sum(path.stat().st_size for path in shards.rglob("*.jsonl"))
    return {**taken, "content": content, "shards": len(list(shards.iterdir())), "mb": size / 1e6}


def main() -> None:
    """Measure both; the last line is JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench ray", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000, help="samples of a run")
    parser.add_argument("--scratch", type=Path, help="a folder with room for 8 kB a sample")
    options = parser.parse_args()
    os.environ.pop("RAY_ADDRESS", None)
    from ray.cluster_utils import Cluster

    cluster, logs = Cluster(), tempfile.TemporaryDirectory(prefix="ray")
    try:
        for cpus in (0, 1, 1):
            more = {} if cpus else {"include_dashboard": False, "temp_dir": logs.name}
            cluster.add_node(num_cpus=cpus, object_store_memory=80 << 20, node_ip_address="127.0.0.2", **more)
        with tempfile.TemporaryDirectory(dir=options.scratch) as name:
            folder = Path(name)
            write_inputs(folder, options.rows // SAMPLES)
            found = {
                "local": built(folder, "local", "--workers", "2"),
                "ray": built(folder, "far", "--workers", "ray", "--address", cluster.address),
            }
    finally:
        cluster.shutdown()
        logs.cleanup()
    print(f"{'workers':>10} {'shards':>6} {'MB':>7} {'seconds':>9} {'GB of the command':>18}")
    for name, one in found.items():
        print(f"{name:>10} {one['shards']:>6} {one['mb']:>7.0f} {one['seconds']:>9.1f} {one['peak_gb']:>18.2f}")
    models = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name")]  # fmt: skip
    print(f"{len(os.sched_getaffinity(0))} cores of {models[0] if models else 'an unnamed CPU'}")
    local, far = found["local"], found["ray"]
    keys = {
        "seconds_local": round(local["seconds"], 1),
        "seconds_ray": round(far["seconds"], 1),
        "overhead": round(far["seconds"] / local["seconds"], 3),
        "ms_per_row": round((far["seconds"] - local["seconds"]) * 1e3 / options.rows, 3),
        "equal": local["content"] == far["content"],
    }
    print(json.dumps(keys))


if __name__ == "__main__":
    main()
