# ruff: noqa: E501  programs read better on one line
"""False passes outside the machinery: ends that look like success, and values that lie about themselves."""

from plum_hub.attacks import ASSERTED, PRINTED, Attack
from plum_hub.execution.base import Call, Statement, Steps

ENDS = [
    Attack("exit-while-loading", "ends with status 0 before any case", "not_executable", "import os\nos._exit(0)"),
    Attack("system-exit-while-loading", "raises SystemExit(0) before any case", "not_executable", "raise SystemExit(0)"),
    Attack("missing-entry-point", "defines nothing that could be wrong", "not_executable", "g = 1"),
    Attack("exit-in-call", "ends with status 0 inside a case", "crashed", "import os\ndef f(x): os._exit(0)"),
    Attack("exit-in-statement", "ends with status 0 inside a statement", "crashed", "import os\ndef f(x): os._exit(0)", ASSERTED),
    Attack("exit-in-last-case", "answers once, then ends with status 0", "crashed", "import os\nn = []\ndef f(x):\n n.append(x)\n return 4 if len(n) == 1 else os._exit(0)", cases=2),
    Attack("exit-in-a-thread", "another thread ends the process with status 0", "crashed", "import os, threading, time\ndef f(x):\n threading.Thread(target=os._exit, args=(0,)).start()\n time.sleep(1)\n return 5"),
    Attack("exit-from-a-handler", "a signal handler ends the process", "crashed", "import os, signal\nsignal.signal(signal.SIGALRM, lambda *a: os._exit(0))\nsignal.setitimer(signal.ITIMER_REAL, 0.05)\ndef f(x):\n while True: pass", ASSERTED),
    Attack("exit-from-a-finalizer", "an object's end ends the process", "crashed", "import os\nclass D:\n def __del__(s): os._exit(0)\ndef f(x):\n D()\n return 5", ASSERTED),
    Attack("exit-in-message", "an exception's message ends the process", "crashed", "import os\nclass E(Exception):\n __str__ = lambda s: os._exit(0)\ndef f(x): raise E"),
    Attack("system-exit-in-call", "raises SystemExit(0)", "failed", "def f(x): raise SystemExit(0)"),
    Attack("system-exit-in-statement", "raises SystemExit(0) inside a statement", "failed", "def f(x): raise SystemExit(0)", ASSERTED),
    Attack("keyboard-interrupt", "raises what a judge may not catch", "failed", "def f(x): raise KeyboardInterrupt", ASSERTED),
    Attack("generator-exit", "raises GeneratorExit through a judge's generators", "failed", "def f(x): raise GeneratorExit", ASSERTED),
    Attack("stop-iteration", "raises StopIteration through a judge's loops", "failed", "def f(x): raise StopIteration", ASSERTED, cases=2),
    Attack("exit-before-printing", "a script that ends with status 0 and prints nothing", "failed", "import os\nos._exit(0)", PRINTED),
    Attack("another-program", "becomes another program, which ends with status 0", "crashed", "import os\ndef f(x): os.execv('/bin/true', ['true'])"),
    Attack("another-program-while-loading", "becomes another program before any case", "not_executable", "import os\nos.execv('/bin/true', ['true'])"),
    Attack("atexit", "an exit function ends the process with status 0", "failed", "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): return 5", ASSERTED),
    Attack("fork-and-leave", "its child goes on in the judge's loop while it ends", "crashed|failed", "import os\ndef f(x):\n child = os.fork()\n if child:\n  os.waitpid(child, 0)\n  os._exit(0)\n return 5", cases=2),
    Attack("killed-by-itself", "kills itself", "crashed", "import os, signal\ndef f(x): os.kill(os.getpid(), signal.SIGKILL)"),
    Attack("abort", "aborts", "crashed", "import os\ndef f(x): os.abort()"),
    Attack("abort-script", "a script that aborts", "crashed", "import os\nos.abort()", PRINTED),
    Attack("print-then-fail", "prints what is wanted, then ends with status 1", "failed", "print(4)\nraise SystemExit(1)", PRINTED),
]  # fmt: skip

_LIAR = "class E:\n __eq__ = lambda s, o: True\n __ne__ = lambda s, o: False\n __hash__ = lambda s: 0\n"

LIES = [
    Attack("equal-to-everything", "an object equal to everything", "failed", _LIAR + "def f(x): return E()"),
    Attack("int-equal-to-everything", "an int that is equal to everything", "failed", "class E(int):\n __eq__ = lambda s, o: True\ndef f(x): return E(5)"),
    Attack("str-equal-to-everything", "a str that is equal to everything", "failed", "class E(str):\n __eq__ = lambda s, o: True\n __hash__ = str.__hash__\ndef f(x): return E('5')", Call(expression="f(2)", expected="'4'")),
    Attack("float-near-everything", "a float whose distance to everything is 0", "failed", "class E(float):\n __sub__ = __rsub__ = lambda s, o: 0.0\n __abs__ = lambda s: 0.0\ndef f(x): return E(5)", Call(expression="f(2)", expected="4.0", tolerance=1e-6)),
    Attack("list-of-equal-to-everything", "a list of objects equal to everything", "failed", _LIAR + "def f(x): return [E()]", Call(expression="f(2)", expected="[4]")),
    Attack("list-that-lies-in-iteration", "a list whose iteration differs from its content", "failed", "class L(list):\n __iter__ = lambda s: iter([4])\n __len__ = lambda s: 1\ndef f(x): return L([5])", Call(expression="f(2)", expected="[4]")),
    Attack("dict-that-lies-in-items", "a dict whose items differ from its content", "failed", "class D(dict):\n items = lambda s: [(1, 4)]\n __len__ = lambda s: 1\ndef f(x): return D({1: 5})", Call(expression="f(2)", expected="{1: 4}")),
    Attack("liar-as-key", "a dictionary's key equal to everything", "failed", _LIAR + "def f(x): return {E(): 4}", Call(expression="f(2)", expected="{2: 4}")),
    Attack("liar-in-a-set", "a set's element equal to everything", "failed", _LIAR + "def f(x): return {E()}", Call(expression="f(2)", expected="{4}")),
    Attack("claims-another-class", "an object whose __class__ says int", "failed", "class E:\n __class__ = property(lambda s: int)\ndef f(x): return E()"),
    Attack("class-without-a-name", "a class whose name raises", "failed", "class M(type):\n __name__ = property(lambda c: 1 / 0)\nclass E(metaclass=M): pass\ndef f(x): return E()"),
    Attack("class-instance-of-all", "a metaclass that claims every instance", "failed", "class M(type):\n __instancecheck__ = __subclasscheck__ = lambda c, o: True\n __eq__ = lambda c, o: True\n __hash__ = lambda c: hash(int)\nclass E(metaclass=M): pass\ndef f(x): return E()"),
    Attack("generator", "a generator in the place of a value", "failed", "def f(x): yield 4"),
    Attack("reducible", "an object that pickle would turn into the answer", "failed", "class E:\n __reduce__ = lambda s: (int, ('4',))\ndef f(x): return E()"),
    Attack("index-and-int", "an object that converts to the answer", "failed", "class E:\n __int__ = __index__ = lambda s: 4\n __repr__ = lambda s: '4'\ndef f(x): return E()"),
    Attack("error-in-message", "an exception whose message raises", "failed", "class E(Exception):\n __str__ = lambda s: 1 / 0\ndef f(x): raise E"),
    Attack("message-of-lies", "an exception whose message is no str", "failed", "class T(str):\n encode = lambda *a: b'S'\nclass E(Exception):\n __str__ = lambda s: T('S')\ndef f(x): raise E", ASSERTED),
    Attack("exception-claims-assertion-passed", "an exception whose class and traceback lie", "failed", "class E(Exception):\n __class__ = property(lambda s: type(None))\n __traceback__ = None\n __bool__ = lambda s: False\ndef f(x): raise E", ASSERTED),
    Attack("memory-error-of-its-own", "pretends to be out of memory", "out_of_memory|failed", "def f(x): raise MemoryError", ASSERTED),
    Attack("subclass-of-memory-error", "an error of memory that has code of its own", "out_of_memory|failed", "class E(MemoryError):\n def __init__(s, *a): pass\n __str__ = lambda s: 1 / 0\ndef f(x): raise E", ASSERTED),
    Attack("exception-group", "a group of exceptions, one of which exits", "failed", "def f(x): raise BaseExceptionGroup('x', [SystemExit(0), KeyboardInterrupt()])", ASSERTED),
    Attack("name-in-other-scopes", "sets the entry point to a class that swallows everything", "failed", "class f:\n def __new__(c, *a): return c\n __eq__ = classmethod(lambda *a: True)"),
]  # fmt: skip

_PATCH = "import builtins\nfor name in ('eval', 'exec', 'compile', 'type', 'len', 'isinstance', 'all', 'bytes', 'abs'):\n {}\ndef f(x): return 5"
_CLOSE = Statement(source="assert abs(f(2) - 4) < 0.1")

_TAKEN_APART = Steps(
    source="def test_f():\n    result, expected = f(2), 4\n    assert result == expected\ntest_f()\n",
    steps=(Statement(source="__result__ = f(2)"), Call(expression="__result__", expected="4")),
)
_UNLIKELY = Steps(  # the machinery has small numbers of its own, and one of them may be what a test expects
    source="def test_f():\n    result, expected = f(2), 19283746\n    assert result == expected\ntest_f()\n",
    steps=(Statement(source="__result__ = f(2)"), Call(expression="__result__", expected="19283746")),
)
_MUST_RAISE = Call(expression="f(2)", expected="raises(('KeyError',), match='gone')")

PATCHES = [
    Attack("changed-variables", "sets every variable of a test, in every frame below, to its own answer", "failed", "import sys\ndef f(x):\n frame = sys._getframe().f_back\n while frame:\n  for names in (frame.f_globals, frame.f_locals):\n   for name, value in list(names.items()):\n    if isinstance(value, int) or name == 'expected': names[name] = 5\n  frame = frame.f_back\n return 5", _TAKEN_APART),
    Attack("constants-of-tests", "answers the nearest number in the frames below", "failed", "import sys\ndef f(x):\n frame = sys._getframe().f_back\n while frame:\n  for value in (*frame.f_code.co_consts, *frame.f_locals.values()):\n   if type(value) is int and value not in (0, 1, 2): return value\n  frame = frame.f_back\n return 5", _UNLIKELY),
    Attack("replaced-result", "puts what says yes in the place of a test's variable", "failed", _LIAR + "import sys\nclass L(dict): pass\ndef f(x):\n sys._getframe(1).f_globals['__result__'] = E()\n return E()", _TAKEN_APART),
    Attack("raises-everything", "raises what has every name but the one that a test asks for", "failed", "class E(Exception):\n __str__ = lambda s: 'gone'\ndef f(x): raise E", _MUST_RAISE),
    Attack("raised-class-lies", "raises an exception whose class says that it is another", "failed", "class E(Exception):\n __class__ = property(lambda s: KeyError)\n __str__ = lambda s: 'gone'\nE.__name__ = E.__qualname__ = 'KeyError'\nE.mro = lambda: [KeyError]\ndef f(x): raise E", _MUST_RAISE),
    Attack("raised-message-exits", "raises an exception whose message ends the process", "crashed", "import os\nclass E(KeyError):\n __str__ = lambda s: os._exit(0)\ndef f(x): raise E", _MUST_RAISE),
    Attack("raised-as-a-value", "returns the exception, and text that looks like the message about it", "failed", "def f(x): return 'KeyError LookupError Exception\\ngone'", _MUST_RAISE),
    Attack("patched-builtins", "replaces builtins in their module", "failed", _PATCH.format("setattr(builtins, name, lambda *a, **k: 4)"), ASSERTED),
    Attack("patched-abs", "replaces the abs that an assertion calls", "failed", "import builtins\nbuiltins.abs = lambda x: 0\ndef f(x): return 5", _CLOSE),
    Attack("patched-through-print", "reaches the builtins through a builtin's own module", "failed", "print.__self__.abs = lambda x: 0\ndef f(x): return 5", _CLOSE),
    Attack("patched-through-globals", "replaces abs in its own __builtins__", "failed", "b = __builtins__\n(b if isinstance(b, dict) else vars(b))['abs'] = lambda x: 0\ndef f(x): return 5", _CLOSE),
    Attack("patched-through-frames", "replaces abs in every namespace that a frame shows", "failed", "import sys\nframe = sys._getframe()\nwhile frame:\n for names in (frame.f_builtins, frame.f_globals, *frame.f_globals.values()):\n  if isinstance(names, dict) and 'abs' in names: names['abs'] = lambda x: 0\n frame = frame.f_back\ndef f(x): return 5", _CLOSE),
    Attack("patched-between-cases", "replaces abs in the builtins of one case for the next", "failed", "import sys\ndef f(x):\n sys._getframe(1).f_builtins['abs'] = lambda x: 0\n return 4 if x < 2 else 5", (Statement(source="assert f(1) == 4"), _CLOSE)),
    Attack("patched-import", "an import hook gives tests a module that says yes", "failed", "import builtins, types\nyes = types.SimpleNamespace(isclose=lambda *a, **k: True)\nbuiltins.__import__ = lambda *a, **k: yes\ndef f(x): return 5", Statement(source="import math\nassert math.isclose(f(2), 4)")),
    Attack("patched-module", "replaces a function in the module that tests will import", "failed", "import math\nmath.isclose = lambda *a, **k: True\ndef f(x): return 5", Statement(source="import math\nassert math.isclose(f(2), 4)")),
    Attack("patched-counter", "gives a class that tests compare by an equality that says yes", "failed", "import collections\ncollections.Counter.__eq__ = lambda *a: True\ndef f(x): return [5]", Statement(source="from collections import Counter\nassert Counter(f(2)) == Counter([4])")),
    Attack("patched-statistics", "gives a function of a module that tests use the code of another", "failed", "import statistics\nstatistics.mean.__code__ = (lambda data: 4).__code__\ndef f(x): return [5]", Statement(source="import statistics\nassert statistics.mean(f(2)) == 4")),
    Attack("patched-deepcopy", "changes the default of a function that tests use", "failed", "import copy\ncopy.deepcopy.__defaults__ = ({}, [])\ncopy._deepcopy_dispatch.clear()\ncopy.deepcopy.__code__ = (lambda x, memo=None, _nil=[]: 4).__code__\ndef f(x): return 5", Statement(source="import copy\nassert copy.deepcopy(f(2)) == 4")),
    Attack("replaced-module", "puts a module that says yes into sys.modules", "failed", "import sys, types\nsys.modules['math'] = types.SimpleNamespace(isclose=lambda *a, **k: True)\ndef f(x): return 5", Statement(source="import math\nassert math.isclose(f(2), 4)")),
    Attack("no-assertions", "sets the flags that compile assertions away", "failed", "import sys, builtins\ntry: builtins.__dict__['__debug__'] = False\nexcept Exception: pass\nsys.flags = type('F', (), {'optimize': 2})\ndef f(x): return 5", ASSERTED),
    Attack("assertion-error-replaced", "makes AssertionError something that is no exception", "failed", "import builtins\nbuiltins.AssertionError = builtins.Exception = builtins.BaseException = int\ndef f(x): return 5", ASSERTED),
    Attack("except-hooks", "replaces every hook that sees an exception", "failed", "import sys, threading, traceback\nsys.excepthook = sys.unraisablehook = threading.excepthook = lambda *a: None\ntraceback.format_exception = traceback.print_exc = lambda *a, **k: ''\ndef f(x): return 5", ASSERTED),
    Attack("warnings-and-linecache", "replaces what prints and shows source", "failed", "import linecache, warnings\nwarnings.warn = warnings.showwarning = linecache.getline = linecache.getlines = lambda *a, **k: 4\ndef f(x): return 5", ASSERTED),
    Attack("codecs-replaced", "registers codecs that turn text into the answer", "failed", "import codecs\ncodecs.register(lambda name: codecs.CodecInfo(lambda *a: (b'4', 1), lambda *a: ('4', 1), name=name))\ncodecs.register_error('strict', lambda e: ('4', e.end))\ncodecs.register_error('backslashreplace', lambda e: ('4', e.end))\ndef f(x): return '\\ud800'"),
    Attack("audit-hook", "an audit hook raises wherever a test compiles", "failed|crashed", "import sys\nsys.addaudithook(lambda event, a: (_ for _ in ()).throw(SystemExit(0)) if event in ('compile', 'exec') else None)\ndef f(x): return 5", ASSERTED),
    Attack("replaced-output", "replaces stdout by an object that swallows and exits", "failed", "import os, sys\nclass Out:\n write = flush = lambda *a: None\n fileno = lambda s: os._exit(0)\nsys.stdout = sys.stderr = sys.__stdout__ = Out()\ndef f(x):\n print(4)\n return 5", ASSERTED),
    Attack("evil-unpickler", "plants a pickle in the place of the value", "failed", "import copyreg, pickle\ndef f(x): return pickle.dumps(4)"),
]  # fmt: skip
