"""Load the last release of a run back from its Hub, in a fresh process and at its tag, and show some rows.

    scripts/reload.py RUN

Does what a user does after `plum-hub hub serve`; the server is started and stopped here.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from plum_hub.hubs.client import choose_target, connected

LOAD = """
import sys
from datasets import load_dataset
repo, tag = sys.argv[1:]
kto = load_dataset(repo, "kto", revision=tag, split="train")
samples = load_dataset(repo, "samples", revision=tag, split="train")
print(f"load_dataset({repo!r}, 'kto', revision={tag!r}): {len(kto)} rows, "
      f"{sum(kto['label'])} chosen, {len(set(kto['instruction_id']))} instructions; {len(samples)} samples, "
      f"{sum(status is None for status in samples['status'])} without a verdict")
for label in (True, False):
    row = next((row for row in kto if row["label"] is label), None)
    print(f"\\n--- {'chosen' if label else 'rejected'} ---")
    if row is None:
        print("none: no sample of this build has this label")
        continue
    print(row["prompt"][-1]["content"].strip()[:400])
    print("...")
    print(row["completion"][-1]["content"].strip()[:600])
"""


def main() -> None:
    releases = Path(sys.argv[1]) / "releases.jsonl"
    if not releases.is_file():
        print(f"{sys.argv[1]} was not published, so there is nothing to load back")
        return
    release = json.loads(releases.read_text(encoding="utf-8").splitlines()[-1])
    with connected(choose_target(release["hub"])) as target:
        environment = {**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        if target.endpoint:
            environment["HF_ENDPOINT"] = target.endpoint
        if target.token:
            environment["HF_TOKEN"] = target.token
        subprocess.run([sys.executable, "-c", LOAD, release["repo"], release["tag"]], env=environment, check=True)


if __name__ == "__main__":
    main()
