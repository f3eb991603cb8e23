# ruff: noqa: E501  programs read better on one line
"""Right programs of the kind that judges fail wrongly. Each passes."""

from plum_hub.execution import Call, Limits, Program, Statement, Stdio
from plum_hub.execution.base import Case


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
        "deep-memo", "import sys, functools\nsys.setrecursionlimit(10 ** 6)\n@functools.cache\n"
        "def g(n): return 0 if n == 0 else g(n - 1) + 1\ndef f(x): return g(20000)", "20000",
    ),
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
        "blanks": "print('4  \\n 6 \\n\\n')",
    }.items()
]  # fmt: skip
