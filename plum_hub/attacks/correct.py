# ruff: noqa: E501  programs read better on one line
"""Correct programs that judges tend to fail wrongly. Each passes."""

from plum_hub.execution.base import Call, Case, Limits, Program, Statement, Stdio


def _program(name: str, code: str, *cases: Case) -> Program:
    script = any(isinstance(case, Stdio) for case in cases)
    return Program(id=name, code=code, entry_point=None if script else "f", cases=cases, limits=Limits())


def _returns(name: str, code: str, expected: str, expression: str = "f(2)") -> Program:
    return _program(name, code, Call(expression=expression, expected=expected))


_DOUBLED = Stdio(stdin="2\n3\n", stdout="4\n6\n")

MODULES = [
    _returns("nan-and-zero", "def f(x): return [float('nan'), float('-inf'), -0.0]", "[nan, -inf, -0.0]"),
    _returns("long-int", "def f(x): return 10 ** 5000", f"{10**5000:#x}"),
    _returns("surrogates", "def f(x): return '\\ud800\\x00é'", r"'\ud800\x00é'"),
    _returns(
        "every-builtin", "def f(x): return {(1, None): {2}, b'x': frozenset({3}), 'c': (1j, range(3), True, [1.5])}",
        "{(1, None): {2}, b'x': frozenset({3}), 'c': (1j, range(3), True, [1.5])}",
    ),
    _returns("shadowed-builtins", "list = sum = len = type = None\ndef f(x): return x + x", "4"),
    _returns("main-guard", "def f(x): return x * 2\nif __name__ == '__main__': f(int(input()))", "4"),
    _returns(
        "dataclass", "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass P:\n a: int\n b: list[P] | None = None\ndef f(x): return P(x).a * 2", "4",
    ),
    _returns(
        "deep-memo", "import sys\nsys.setrecursionlimit(10 ** 6)\ndef memo(g):\n known = {}\n"
        " def h(n):\n  if n not in known: known[n] = g(n)\n  return known[n]\n return h\n@memo\n"
        "def g(n): return 0 if n == 0 else g(n - 1) + 1\ndef f(x): return g(2500)", "2500",
    ),
    _returns(  # not deeper: Python 3.12.1 counts a call through C twice and stops at 500, whatever the limit
        "cached", "import functools\n@functools.cache\n"
        "def g(n): return 0 if n == 0 else g(n - 1) + 1\ndef f(x): return g(400)", "400",
    ),
    _returns(
        "profiled", "import cProfile\ndef f(x):\n with cProfile.Profile(): y = sorted([x, 2])\n return y", "[2, 2]",
    ),
    _returns(
        "extension-modules", "import _decimal, array, binascii, unicodedata, zlib\nfrom decimal import Decimal\n"
        "def f(x): return [str(Decimal(x) / 4), zlib.crc32(b'a'), unicodedata.name('a')]", "['0.5', 3904355907, 'LATIN SMALL LETTER A']",
    ),
    _returns("odd-escape", "import re\ndef f(x): return re.findall('\\d', 'a1')", "['1']"),
    _returns("asyncio", "import asyncio\nasync def g(x): await asyncio.sleep(0); return x * 2\ndef f(x): return asyncio.run(g(x))", "4"),
    _returns(
        "threads", "from concurrent.futures import ThreadPoolExecutor\n"
        "def f(x):\n with ThreadPoolExecutor(8) as pool: return list(pool.map(lambda n: n * x, range(4)))", "[0, 2, 4, 6]",
    ),
    _returns("processes", "import multiprocessing\ndef g(n): return n * 2\ndef f(x):\n with multiprocessing.Pool(2) as pool: return pool.map(g, [x])", "[4]"),
    _returns("subprocess", "import subprocess\ndef f(x): return subprocess.run(['echo', 'hi'], capture_output=True, text=True).stdout", "'hi\\n'"),
    _returns("pickled-class", "import pickle\nclass C:\n def __init__(s, x): s.x = x\ndef f(x): return pickle.loads(pickle.dumps(C(x))).x * 2", "4"),
    _returns("closed-descriptors", "import os\ndef f(x):\n os.closerange(0, 256)\n return 4", "4"),
    _returns("noise", "import sys\ndef f(x):\n print('x' * 10 ** 6); sys.stderr.write('y' * 10 ** 6)\n return 4", "4"),
    _returns("file", "def f(x):\n with open('a', 'w+') as a:\n  a.write('z' * 5_000_000); a.seek(0)\n  return len(a.read())", "5000000"),
    _returns("caught-exit", "import sys\ndef f(x):\n try: sys.exit(3)\n except SystemExit as e: return e.code + 1", "4"),
    _returns("caught-memory", "def f(x):\n try: return len([0] * 10 ** 12)\n except MemoryError: return 4", "4"),
    _returns("namedtuple", "import collections\nP = collections.namedtuple('P', 'a b')\ndef f(x): return tuple(P(1, 2))", "(1, 2)"),
    _returns("mutated-default", "def f(x, seen=[]):\n seen.append(x)\n return len(seen)", "1"),
    _program(
        "setup-statement", "def f(x): return x / 3", Statement(source="import math\nclose = math.isclose"),
        Statement(source="assert close(f(1), 1 / 3)"), Call(expression="f(1)", expected="0.333333", tolerance=1e-5),
    ),
    _program("fresh-arguments", "def f(a):\n a.append(1)\n return a", *[Call(expression="f([])", expected="[1]")] * 3),
    _returns("counter", "import collections\ndef f(x): return collections.Counter('aab')", "{'a': 2, 'b': 1}"),
    _returns("defaultdict", "import collections\ndef f(x):\n d = collections.defaultdict(list); d[1].append(x)\n return d", "{1: [2]}"),
    _returns("ordered-dict", "import collections\ndef f(x): return [collections.OrderedDict(a=x)]", "[{'a': 2}]"),
    _returns("bool-for-int", "def f(x): return x == 2", "True"),
    _returns("int-for-float", "def f(x): return x", "2.0"),
    _returns("raised-on-purpose", "def f(x):\n try: raise StopIteration\n except StopIteration as e: return type(e).__name__", "'StopIteration'"),
    _returns("recursion-caught", "def g(n): return g(n + 1)\ndef f(x):\n try: return g(0)\n except RecursionError: return 4", "4"),
    _returns("big-stack", "import sys, threading\ndef f(x):\n sys.setrecursionlimit(10 ** 6); threading.stack_size(1 << 28); out = []\n def g(n): return 0 if n == 0 else 1 + g(n - 1)\n t = threading.Thread(target=lambda: out.append(g(50000))); t.start(); t.join()\n return out[0]", "50000"),
    _returns("alarm-of-its-own", "import signal\ndef f(x):\n def late(*a): raise TimeoutError\n signal.signal(signal.SIGALRM, late)\n try:\n  signal.setitimer(signal.ITIMER_REAL, 0.05)\n  while True: pass\n except TimeoutError: return 4", "4"),
    _returns("random-with-its-seed", "import random\nrandom.seed(7)\nfirst = random.random()\ndef f(x):\n random.seed(7)\n return random.random() == first", "True"),
    _returns("looks-into-frames", "import inspect\ndef f(x): return inspect.currentframe().f_code.co_name * x", "'ff'"),
    _returns("main-as-module", "import sys\ndef f(x): return sys.modules[__name__].f is f", "True"),
    _returns("typed", "import typing, abc, enum\nclass C(enum.IntEnum): A = 4\nclass P(typing.Protocol):\n def g(self) -> int: ...\ndef f(x: typing.Optional[int]) -> 'int': return int(C.A)", "4"),
    _returns("collector-used", "import gc\ndef f(x):\n gc.disable(); gc.collect(); gc.enable()\n return gc.isenabled()", "True"),
    _returns("temporary-files", "import tempfile\ndef f(x):\n with tempfile.NamedTemporaryFile('w+') as a, tempfile.TemporaryDirectory():\n  a.write('4'); a.seek(0)\n  return int(a.read())", "4"),
    _returns("finalizers", "import weakref\nclass C: pass\ndef f(x):\n out = []; c = C(); weakref.finalize(c, out.append, 4); del c\n return out[0]", "4"),
    _returns("sqlite", "import sqlite3\ndef f(x):\n d = sqlite3.connect(':memory:')\n return d.execute('select ? * 2', (x,)).fetchone()[0]", "4"),
]  # fmt: skip

SCRIPTS = [
    _program(name, code, _DOUBLED)
    for name, code in {
        "input": "while True:\n try: print(int(input()) * 2)\n except EOFError: break",
        "lines": "import sys\nfor line in sys.stdin: print(int(line) * 2)",
        "open-zero": "print(*(int(n) * 2 for n in open(0).read().split()), sep='\\n')",
        "buffer": "import sys\na = sys.stdin.buffer.readline(); b = sys.stdin.buffer.readline()\nsys.stdout.buffer.write(b'%d\\n%d' % (int(a) * 2, int(b) * 2))",
        "descriptors": "import os\nd = os.read(0, 100).split()\nassert not os.read(0, 1)\nfor n in d: os.write(1, b'%d\\n' % (2 * int(n)))",
        "dev-stdin": "print(*(int(n) * 2 for n in open('/dev/stdin')), sep='\\n')",
        "never-flushed": "import sys\nout = open(1, 'w', closefd=False)\nfor line in sys.stdin: out.write(f'{int(line) * 2}\\n')",
        "exit-zero": "import sys\nfor line in sys.stdin: print(int(line) * 2)\nsys.exit(0)",
        "global-counter": "import sys\ntotal = 0\ndef add(n):\n global total\n total += n\n print(2 * n)\nif __name__ == '__main__':\n for line in sys.stdin: add(int(line))",
        "thread-with-stack": "import sys, threading\nthreading.stack_size(1 << 27)\ndef main():\n for line in sys.stdin: print(int(line) * 2)\nthreading.Thread(target=main).start()",
        "at-exit": "import atexit, sys\natexit.register(lambda: print(*(int(line) * 2 for line in sys.stdin), sep='\\n'))",
        "closed-output": "import sys\nfor line in sys.stdin: print(int(line) * 2)\nsys.stdout.close()",
        "replaced-output": "import os, sys\nclass Out:\n def write(s, t): os.write(1, t.encode())\nsys.stdout = Out()\nfor line in sys.stdin: print(int(line) * 2)",
        "no-output-left": "import sys\nfor line in sys.stdin: print(int(line) * 2, flush=True)\nsys.stdout = None",
        "input-exhausted": "a = input(); b = input()\ntry: input()\nexcept EOFError: print(int(a) * 2); print(int(b) * 2)",
        "fileinput": "import fileinput\nfor line in fileinput.input(): print(int(line) * 2)",
        "print-and-descriptor": "import os, sys\nprint(int(input()) * 2, flush=True)\nos.write(1, b'%d\\n' % (int(input()) * 2))",
        "exit-by-os": "import os\nfor line in open(0): print(int(line) * 2, flush=True)\nos._exit(0)",
        "mapped-input": "import mmap\nm = mmap.mmap(0, 0, access=mmap.ACCESS_READ)\nprint(*(int(n) * 2 for n in m[:].split()), sep='\\n')",
        "blanks": "print('4  \\n 6 \\n\\n')",
    }.items()
]  # fmt: skip
