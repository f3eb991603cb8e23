"""Files that are replaced in one step."""

import signal
import subprocess
import sys
from pathlib import Path

from plum_hub.files import write_whole

_HELD = """
import fcntl, sys
with open(sys.argv[1], "wb") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    file.write(b"a pa")
    print("written", flush=True)
    sys.stdin.read()
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_half_of_a_write_that_was_killed_goes_with_the_next_one_and_that_of_a_living_process_stays(
    tmp_path: Path,
) -> None:
    path = tmp_path / "training.json"
    held = [tmp_path / f"training.json.{number}.new" for number in (1, 2)]
    processes = [
        subprocess.Popen([sys.executable, "-c", _HELD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for file in held
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    processes[0].send_signal(signal.SIGKILL)
    processes[0].wait()
    other = tmp_path / "other.json.1.new"
    other.touch()
    write_whole(path, "whole")
    assert path.read_text() == "whole"
    assert names(tmp_path) == ["other.json.1.new", "training.json", "training.json.2.new"]
    processes[1].communicate()
    write_whole(path, "again")
    assert names(tmp_path) == ["other.json.1.new", "training.json"]
