# ruff: noqa: E501  programs read better on one line
"""Programs that attack the judge, the jail or the machine. They run only in a jail that has proved itself.

Each says which status it must get; an escape returns the name of what it got hold of, or "nothing".
"""

from dataclasses import dataclass

from plum_hub.execution import Call, Limits, Program, Statement, Stdio
from plum_hub.execution.base import Case

FOUR = Call(expression="f(2)", expected="4")
ASSERTED = Statement(source="assert f(2) == 4")
NOTHING = Call(expression="f(2)", expected="'nothing'")
PRINTED = Stdio(stdin="2\n", stdout="4\n")


@dataclass(frozen=True)
class Attack:
    name: str
    status: str
    code: str
    case: Case = FOUR
    memory_mb: int = 1024
    cases: int = 1

    @property
    def program(self) -> Program:
        limits = Limits(cpu_seconds=0.5, wall_seconds=3.0, memory_mb=self.memory_mb, output_kb=64)
        entry_point = None if isinstance(self.case, Stdio) else "f"
        return Program(
            id=self.name, code=self.code, entry_point=entry_point, cases=(self.case,) * self.cases, limits=limits
        )


_FORGED = 'import os, struct\nframe = struct.pack("<cI", b"S", 0)\n'

FALSE_PASSES = [
    Attack("exit-while-loading", "not_executable", "import os\nos._exit(0)"),
    Attack("system-exit-while-loading", "not_executable", "raise SystemExit(0)"),
    Attack("missing-entry-point", "not_executable", "g = 1"),
    Attack("exit-in-call", "crashed", "import os\ndef f(x): os._exit(0)"),
    Attack("exit-in-statement", "crashed", "import os\ndef f(x): os._exit(0)", ASSERTED),
    Attack("system-exit-in-call", "failed", "def f(x): raise SystemExit(0)"),
    Attack("system-exit-in-statement", "failed", "def f(x): raise SystemExit(0)", ASSERTED),
    Attack("keyboard-interrupt", "failed", "def f(x): raise KeyboardInterrupt", ASSERTED),
    Attack("exit-before-printing", "failed", "import os\nos._exit(0)", PRINTED),
    Attack("equal-to-everything", "failed", "class E:\n __eq__ = lambda s, o: True\ndef f(x): return E()"),
    Attack("int-equal-to-everything", "failed", "class E(int):\n __eq__ = lambda s, o: True\ndef f(x): return E(5)"),
    Attack(
        "list-of-equal-to-everything", "failed",
        "class E:\n __eq__ = lambda s, o: True\n __hash__ = lambda s: 0\ndef f(x): return [E()]",
        Call(expression="f(2)", expected="[4]"),
    ),
    Attack("claims-another-class", "failed", "class E:\n __class__ = property(lambda s: int)\ndef f(x): return E()"),
    Attack(
        "class-without-a-name", "failed",
        "class M(type):\n __name__ = property(lambda c: 1 / 0)\nclass E(metaclass=M): pass\ndef f(x): return E()",
    ),
    Attack("generator", "failed", "def f(x): yield 4"),
    Attack(
        "expected-from-frames", "failed",
        """
import sys
def f(x):
    frame = sys._getframe()
    while frame:
        for names in (frame.f_locals, frame.f_globals):
            for name, value in list(names.items()):
                if "expected" in str(name):
                    return value
                if isinstance(value, dict) and "expected" in value:
                    return value["expected"]
        frame = frame.f_back
    return None
""",
    ),
    Attack(
        "expected-from-gc", "failed",
        """
import gc
def f(x):
    for found in gc.get_objects():
        if isinstance(found, dict) and "expected" in found:
            return int(found["expected"])
    return None
""",
    ),
    Attack("atexit", "failed", _FORGED + "import atexit\natexit.register(os._exit, 0)\ndef f(x): return 5", ASSERTED),
    Attack(
        "patched-builtins", "failed",
        """
import builtins
for name in ("eval", "exec", "compile", "type", "len", "isinstance", "all", "bytes"):
    setattr(builtins, name, lambda *a, **k: 4)
builtins.AssertionError = builtins.Exception = int
def f(x): return 5
""",
        ASSERTED,
    ),
    Attack(
        "patched-harness", "crashed",
        """
import sys, json, struct, itertools, collections
for module in [module for name, module in sys.modules.items() if "plum_hub" in name]:
    for name in [name for name in vars(module) if not name.startswith("__")]:
        setattr(module, name, lambda *a, **k: struct.pack("<cI", b"S", 0))
class Evil(bytes):
    __add__ = __radd__ = lambda s, o: struct.pack("<cI", b"S", 0)
def f(x):
    frame = sys._getframe()
    while frame := frame.f_back:
        if "_describe" in frame.f_globals:
            frame.f_globals["_describe"] = lambda e: Evil()
    return 5
""",
        ASSERTED,
    ),
    Attack(
        "forged-on-every-fd", "failed",
        _FORGED + """
def f(x):
    for fd in range(3, 256):
        try:
            os.write(fd, frame * 4)
        except OSError:
            pass
    return 5
""",
        ASSERTED,
    ),
    Attack(
        "forged-in-shared-memory", "failed",
        """
import gc, mmap
def f(x):
    for found in gc.get_objects() + gc.get_referrers(mmap.mmap) + gc.get_referents(f):
        if isinstance(found, mmap.mmap):
            return 4
    return 5
""",
    ),
    Attack(
        "gc-made-anew", "failed",
        """
import sys, _imp
def f(x):
    for module in ("gc", "sys"):
        sys.modules.pop(module, None)
    try:
        import gc
    except ImportError:
        import importlib.machinery
        try:
            gc = _imp.create_builtin(importlib.machinery.ModuleSpec("gc", None))
        except ImportError:
            return 5
    return 4 if len(gc.get_objects()) > 100 else 5
""",
    ),
    Attack(
        "jump-over-the-failure", "failed",
        """
import sys
def tracer(frame, event, argument):
    if event == "exception":
        frame.f_lineno = frame.f_lineno + 1
    return tracer
def f(x):
    frame = sys._getframe()
    while frame:
        frame.f_trace = tracer
        frame = frame.f_back
    sys.settrace(tracer)
    return 5
""",
        ASSERTED,
    ),
    Attack(
        "rewritten-cases", "failed",
        """
import sys
def rewrite(value):
    if isinstance(value, dict):
        for item in list(value.values()): rewrite(item)
    if isinstance(value, list):
        for number, item in enumerate(value):
            if item == "statement": value[1] = "pass"
            else: rewrite(item)
frame = sys._getframe()
while frame := frame.f_back:
    for value in list(frame.f_locals.values()): rewrite(value)
def f(x): return 5
""",
        ASSERTED,
    ),
    Attack(
        "thread-that-watches-frames", "failed",
        """
import struct, sys, threading, time
done = struct.pack("<cI", b"S", 0)
def watch():
    while True:
        for frame in sys._current_frames().values():
            while frame:
                for value in list(frame.f_locals.values()):
                    if hasattr(value, "write") or getattr(value, "__name__", "") == "write":
                        getattr(value, "write", value)(done * 8)
                frame = frame.f_back
threading.Thread(target=watch, daemon=True).start()
def f(x):
    time.sleep(0.1)
    return 5
""",
        ASSERTED,
    ),
    Attack("memory-through-ctypes", "not_executable", "import ctypes\ndef f(x): return 4"),
    Attack("exit-in-message", "crashed", "import os\nclass E(Exception):\n __str__ = lambda s: os._exit(0)\ndef f(x): raise E"),
    Attack("error-in-message", "failed", "class E(Exception):\n __str__ = lambda s: 1 / 0\ndef f(x): raise E"),
]  # fmt: skip

RESOURCES = [
    Attack("endless-loop", "timed_out", "def f(x):\n while True: pass"),
    Attack("endless-load", "timed_out", "while True: pass"),
    Attack("endless-script", "timed_out", "while True: pass", PRINTED),
    Attack("endless-sleep", "timed_out", "import time\ndef f(x): time.sleep(1000)"),
    Attack(
        "deaf-to-signals", "timed_out",
        """
import signal
def f(x):
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            while True: pass
        except BaseException: pass
""",
    ),
    Attack("slow-regex", "timed_out", "import re\ndef f(x): return re.match('(a+)+$', 'a' * 64 + 'b')"),
    Attack("huge-int", "timed_out", "def f(x): return len(str(7 ** 10 ** 9)) if x else 4"),
    Attack("time-in-a-child", "timed_out", "import os\ndef f(x):\n if os.fork() == 0:\n  while True: pass\n os.wait()"),
    Attack("fork-bomb", "timed_out", "import os\ndef f(x):\n while True:\n  try: os.fork()\n  except OSError: pass"),
    Attack("memory-at-once", "out_of_memory", "def f(x): return len([0] * 10 ** 10)", memory_mb=256),
    Attack("memory-by-and-by", "out_of_memory", "def f(x):\n a = []\n while True: a.append(bytearray(1 << 20))", memory_mb=256),
    Attack("memory-while-loading", "out_of_memory", "a = [0] * 10 ** 10\ndef f(x): return 4", memory_mb=256),
    Attack("recursion", "failed", "def f(x): return f(x)"),
    Attack(
        "stack-overflow", "crashed",
        "import sys\nsys.setrecursionlimit(10 ** 9)\nclass A:\n __repr__ = lambda s: repr(s)\ndef f(x): return repr(A())",
    ),
    Attack("abort", "crashed", "import os\ndef f(x): os.abort()"),
    Attack("abort-script", "crashed", "import os\nos.abort()", PRINTED),
    Attack("full-disk", "crashed", "def f(x):\n with open('a', 'wb') as a:\n  while True: a.write(bytes(1 << 20))"),
    Attack("many-files", "failed", "def f(x):\n for n in range(10 ** 6): open(str(n), 'w').close()"),
    Attack("flood-of-output", "timed_out", "def f(x):\n while True: print('x' * 10000)"),
    Attack("flood-in-a-script", "failed", "while True: print('x' * 10000)", PRINTED),
    Attack("deep-value", "failed", "def f(x):\n a = []\n for _ in range(10 ** 5): a = [a]\n return a"),
    Attack("colliding-keys", "failed", "def f(x): return {n * ((1 << 61) - 1) for n in range(1000)}"),
    Attack("parser-bomb", "not_executable", "f = " + "(" * 5000 + ")" * 5000),
    Attack(
        "many-long-values", "crashed", "def f(x): return 'x' * 3_999_990", cases=9,
    ),
    Attack("null-byte", "not_executable", "f = '\0'"),
    Attack("self-holding-list", "failed", "def f(x):\n a = []\n a.append(a)\n return a"),
]  # fmt: skip

_TRY = """
import os, socket, subprocess, signal, resource
from pathlib import Path
def attempt(*things):
    for name, thing in things:
        try:
            thing()
        except (OSError, ValueError, subprocess.SubprocessError):
            continue
        return name
    return "nothing"
"""


def _escape(name: str, *things: str) -> Attack:
    """Tries each expression; what does not raise has got out."""
    tries = ", ".join(f"({thing!r}, lambda: {thing})" for thing in things)
    return Attack(name, "passed", f"{_TRY}\ndef f(x): return attempt({tries})", NOTHING)


def escapes(port: int, secret: str) -> list[Attack]:
    """Attacks on a machine where a listener waits on a loopback port and a file holds a secret."""
    return [
        _escape("environment-of-others", *(f"open('/proc/{n}/environ').read()" for n in (1, 2, "self"))),
        _escape("memory-of-others", "open('/proc/1/mem', 'rb')", "open('/proc/self/mem', 'r+b')", "os.listdir('/proc/1')"),
        _escape("files-of-the-user", f"open({secret!r}).read()", "os.listdir('/home')", "os.listdir('/var')"),
        _escape("files-of-the-machine", "open('/etc/passwd').read()", "open('/etc/shadow').read()", "os.listdir('/sys')"),
        _escape("writing-outside", *(f"open('{f}/x', 'w')" for f in ("", "/usr", "/jail", "/dev", "/bin")), "os.mkdir('/x')"),
        _escape("tcp", f"socket.create_connection(('127.0.0.1', {port}), 1)", f"socket.create_connection(('::1', {port}), 1)"),
        _escape("udp", f"socket.socket(2, 2).sendto(b'x', ('127.0.0.1', {port}))", "socket.socket(1, 1)", "socket.socket(16, 3)"),
        _escape("signals-to-the-zygote", "os.kill(-1, 9)", "os.killpg(1, 9)"),
        _escape("limits-of-others", "resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))", "os.setpriority(0, 1, 19)"),
        _escape("own-limits", "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", "resource.setrlimit(0, (-1, -1))"),
        _escape("root-again", "os.setuid(0)", "os.setgid(0)", "os.chroot('/tmp')", "os.setgroups([0])"),
        _escape("new-namespace", "subprocess.run(['unshare', '-r', 'true'], check=True)"),
        _escape("mounts", "subprocess.run(['mount', '-t', 'tmpfs', 'x', '/tmp'], check=True)"),
        _escape("own-native-code", "subprocess.run(['cp', '/usr/bin/true', 'x'], check=True) and os.execv('x', ['x'])"),
    ]  # fmt: skip


LEFT_BEHIND = [
    Attack(
        "daemon", "passed",
        "import os, time\ndef f(x):\n if os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0: time.sleep(600)\n  os._exit(0)\n return 4",
    ),
    Attack("file-in-scratch", "passed", "import os\ndef f(x):\n open('left', 'w').close(); os.makedirs('a/b/c')\n return 4"),
    Attack(
        "file-that-resists", "passed",
        "import os\ndef f(x):\n os.makedirs('a/b'); os.chmod('a', 0)\n return 4",
    ),
]  # fmt: skip
