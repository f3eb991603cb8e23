# ruff: noqa: E501  programs read better on one line
"""The sandbox without namespaces: its walls, on machines like those that it is for, and its end.

Attacks run only inside a read-only shell of bubblewrap's, which is what an unprivileged container gives, so that a hole
in the walls would cost nothing.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from plum_hub.errors import SandboxError
from plum_hub.execution import Call, Judge, Limits, Program, filters
from plum_hub.execution.landlock import LandlockWorker
from plum_hub.execution.worker import Worker
from tests.execution.conftest import awaited
from tests.execution.shells import in_shell

ROOT = Path(__file__).resolve().parents[2]
_MAIN = "from plum_hub.cli import main; main()"

_NEITHER = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
load, equal, give = 0x20, 0x15, 0x06
steps = [(load, 0, 0, 0)]
for name, error in (("landlock_create_ruleset", 38), ("unshare", 1)):
    steps += [(equal, 0, 1, {numbers}[name]), (give, 0, 0, 0x50000 | error)]
code = b"".join(struct.pack("HBBI", *step) for step in [*steps, (give, 0, 0, 0x7FFF0000)])
text = ctypes.create_string_buffer(code, len(code))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(text))) == 0
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Becomes a Python on what looks like a machine with neither namespaces nor Landlock."""

_OLD = """
import functools, json, sys
from plum_hub.attacks import correct, escapes, runner
from plum_hub.execution.landlock import LandlockWorker, LandlockSandbox

class Old(LandlockWorker):
    max_version = int(sys.argv[1])

class Sandbox(LandlockSandbox):
    enclosure = Old

sandbox, found = Sandbox(2), {}
with runner.targets() as (port, secret):
    attacks = escapes.escapes(port, secret)
    for execution in sandbox.run([attack.program for attack in attacks]):
        found[execution.id] = execution.status
for execution in sandbox.run(correct.MODULES + correct.SCRIPTS):
    found[execution.id] = execution.status
sandbox.close()
print(json.dumps([name for name, status in found.items() if status != "passed"]))
"""

_SOME = """
import json
from plum_hub.execution import Judge
from plum_hub.attacks import escapes, resources, runner

found = []
with Judge(2, sandbox="landlock") as judge, runner.targets() as (port, secret):
    found += runner.run_group(judge, "evasions", resources.EVASIONS)
    found += runner.run_group(judge, "escapes", escapes.escapes(port, secret))
with Judge(1, sandbox="landlock") as judge:
    for attack in escapes.LEFT_BEHIND:
        found += runner.run_group(judge, "left behind", [attack])
        found += runner.run_group(judge, attack.name, [escapes.LOOK])
print(json.dumps([[one.group, one.name, one.status, one.detail] for one in found if not one.stopped]))
"""


@pytest.fixture(scope="module", autouse=True)
def _landlock() -> None:
    """Needs a machine where the sandbox can be had."""
    try:
        Worker(LandlockWorker).close()
    except SandboxError as error:
        pytest.skip(str(error))


def test_every_attack_is_stopped_in_a_container_of_an_ordinary_user() -> None:
    done = in_shell("user", "-c", _MAIN, "doctor", "--attack", "--json")
    groups = json.loads(done.stdout)
    assert "right programs" in groups
    through = [one["name"] for group in groups.values() for one in group if not one["stopped"]]
    assert (done.returncode, through) == (0, ["names-outside"]), done.stderr


@pytest.mark.parametrize("user", ["root", "root without setpcap", "user with a bounding set"])
def test_every_attack_on_processes_and_files_is_stopped_in_other_containers(user: str) -> None:
    done = in_shell(user, "-c", _SOME)
    assert [one[1] for one in json.loads(done.stdout)] == ["names-outside"], done.stdout + done.stderr


def test_the_first_version_of_landlock_is_enough() -> None:
    done = in_shell("user", "-c", _OLD, "1")
    assert json.loads(done.stdout) == ["names-outside"], done.stderr


def test_a_machine_that_refuses_namespaces_is_judged_on_without_being_asked() -> None:
    files = {"samples": {"sample_id": "a", "instruction_id": "i", "code": "def f(x): return 2 * x"}}
    files["suites"] = {"instruction_id": "i", "entry_point": "f", "cases": ["assert f(2) == 4"]}
    script = (
        f"import json, runpy, sys\n"
        f"for name, row in {files!r}.items(): open(f'/tmp/{{name}}.jsonl', 'w').write(json.dumps(row))\n"
        f"sys.argv = 'plum-hub judge /tmp/samples.jsonl --suites /tmp/suites.jsonl --out /tmp/v.jsonl --json'.split()\n"
        f"{_MAIN}"
    )
    done = in_shell("root", "-c", script)
    told = json.loads(done.stdout)
    assert told["statuses"] == {"passed": 1}
    assert told["harness"]["sandbox"].startswith("landlock-")


def test_a_machine_with_neither_is_refused_in_one_line(tmp_path: Path) -> None:
    if Path("/var/run/docker.sock").exists() and shutil.which("docker"):
        pytest.skip("docker may do here what the others cannot")
    numbers = {"landlock_create_ruleset": 444, "unshare": filters.system_calls()["unshare"]}
    (tmp_path / "s.jsonl").write_text('{"sample_id": "a", "instruction_id": "i", "code": "x = 1"}\n')
    (tmp_path / "u.jsonl").write_text('{"instruction_id": "i", "cases": ["assert x == 1"]}\n')
    command = [sys.executable, "-c", _NEITHER.replace("{numbers}", repr(numbers)), "-c", _MAIN, "judge"]
    command += [str(tmp_path / "s.jsonl"), "--suites", str(tmp_path / "u.jsonl"), "--out", str(tmp_path / "v.jsonl")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    (line,) = done.stderr.splitlines()
    for part in (
        "jail: ",
        "landlock: landlock: this kernel has no Landlock",
        "docker: ",
        "use a machine that",
        "`plum-hub doctor`",
    ):
        assert part in line


def test_the_choice_is_the_jail_where_it_can_be_had(judge: Judge) -> None:
    assert judge.harness_version.startswith("jail-")


def _programs() -> list[Program]:
    """Right, wrong, slow and broken ones, of ordinary kinds."""
    codes = [
        "def f(x): return sorted({number * x for number in range(20)})[-1]",
        "def f(x): return 19 * x - (x > 3)",
        "def f(x): return [0] * 10 ** 11",
        "def f(x):\n while x > 2: pass\n return 38",
        "def f(x): return f(x)",
        "import os\ndef f(x): os.kill(os.getpid(), 11 if x > 2 else 0) or 38\n",
        "import decimal, sqlite3, hashlib\ndef f(x): return int(decimal.Decimal(19) * x)",
        "import subprocess\ndef f(x): return int(subprocess.run(['expr', '19', '*', str(x)], capture_output=True).stdout)",
        "import multiprocessing\ndef g(n): return 19 * n\ndef f(x):\n with multiprocessing.Pool(2) as p: return p.map(g, [x])[0]",
        "import threading\ndef f(x):\n t = [threading.Thread(target=print) for _ in range(10)]\n [a.start() for a in t]\n return 19 * x",
        "import os\ndef f(x):\n for _ in range(x * 30):\n  if os.fork() == 0:\n   import time; time.sleep(9)\n return 19 * x",
        "import os, shutil\ndef f(x):\n open('a', 'w').write('b')\n os.makedirs('c/d'); shutil.copy2('a', 'c/d/e')\n os.chmod('a', 0o400); os.rename('c/d/e', 'g')\n return 19 * x * len(open('g').read())",
        "import signal\ndef f(x):\n s = []\n signal.signal(10, lambda *a: s.append(x))\n signal.raise_signal(10)\n return 19 * s[0]",
        "def f(x:",
        "import nothing_of_this_name",
    ]  # fmt: skip
    cases = tuple(Call(expression=f"f({number})", expected=str(19 * number)) for number in (2, 3, 4))
    limits = Limits(
        cpu_seconds=2.0, wall_seconds=20.0, memory_mb=256
    )  # far above what they take, on a busy machine too
    return [
        Program(id=str(number), code=code, entry_point="f", cases=cases, limits=limits)
        for number, code in enumerate(codes)
    ]


def test_a_verdict_does_not_depend_on_the_sandbox(judge: Judge) -> None:
    with Judge(2, sandbox="landlock") as other:
        found = [
            {one.id: (one.status, [case.outcome for case in one.cases]) for one in judge.run(_programs())}
            for judge in (judge, other)
        ]
    assert found[0] == found[1]
    assert {status for status, _ in found[0].values()} >= {"passed", "failed", "timed_out", "out_of_memory", "crashed"}


def _folders() -> set[Path]:
    return {path for top in (tempfile.gettempdir(), "/dev/shm") for path in Path(top).glob("plum-hub-*")}


def test_nothing_outlives_a_judge_that_is_killed() -> None:
    script = (
        "from plum_hub.execution import Judge, Limits, Program\n"
        'code = \'import os, time; open("left", "w"); os.fork(); os.setsid(); os.fork(); time.sleep(600)\'\n'
        "program = Program(id='p', code=code, entry_point=None, cases=(), limits=Limits(wall_seconds=900))\n"
        "list(Judge(workers=1, sandbox='landlock').run([program]))\n"
    )
    before = _folders()
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    below = awaited(parent, 7)  # launcher, supervisor, zygote, program, its three
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while left := {pid for pid in below if Path(f"/proc/{pid}").exists()} | (_folders() - before):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give programs a user of their own")
def test_programs_of_root_have_a_user_of_their_own_where_it_can_run_python() -> None:
    code = "import os\ndef f(): return os.getuid(), os.stat('.').st_uid"
    program = Program(
        id="p", code=code, entry_point="f", cases=(Call(expression="f()", expected="0"),), limits=Limits()
    )
    readable = all(
        folder.stat().st_mode & 5 == 5 for folder in Path(sys.base_prefix, "bin", "python3").resolve().parents
    )
    with Judge(1, sandbox="landlock") as judge:
        (execution,) = judge.run([program])
    user, owner = execution.detail.strip("()").split(", ")
    assert user == owner
    assert (int(user) >= 40_000) == readable
