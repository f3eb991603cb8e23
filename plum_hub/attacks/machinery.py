# ruff: noqa: E501  programs read better on one line
"""False passes through the machinery in the program's own process: stolen answers, forged messages, patched parts."""

from plum_hub.attacks import ASSERTED, FOUR, PRINTED, Attack
from plum_hub.execution.base import Stdio

_FORGED = 'import os, struct\nframe = struct.pack("<cI", b"S", 0)\n'
_SECRET = Stdio(stdin="2\n", stdout="sesame 1749\n")

_SEARCH = """
import sys
def search(value, depth=0):
    if depth < 6:
        if isinstance(value, dict):
            for name, item in list(value.items()):
                if "expected" in str(name) or "stdout" == str(name): return item
                found = search(item, depth + 1)
                if found is not None: return found
        elif isinstance(value, (list, tuple)):
            for item in value:
                found = search(item, depth + 1)
                if found is not None: return found
        elif hasattr(value, "__dict__"):
            return search(vars(value) if isinstance(vars(value), dict) else None, depth + 1)
"""

STOLEN = [
    Attack("expected-from-frames", "looks for the expected value in every frame below", "failed", _SEARCH + """
def f(x):
    frame = sys._getframe().f_back
    while frame:
        found = search(dict(frame.f_locals))
        if found is not None: return found
        frame = frame.f_back
"""),
    Attack("expected-from-a-traceback", "walks from an exception's traceback to the frames below", "failed", """
def f(x):
    try: 1 / 0
    except ZeroDivisionError as e: frame = e.__traceback__.tb_frame
    while frame:
        for name, value in list(frame.f_locals.items()):
            if "expected" in name: return value
        frame = frame.f_back
"""),
    Attack("expected-from-inspect", "reads every frame with inspect", "failed", "import inspect\ndef f(x):\n for info in inspect.stack(0):\n  for name, value in list(info.frame.f_locals.items()):\n   if 'expected' in name: return value"),
    Attack("expected-from-gc", "looks through all objects that the garbage collector knows", "failed", "import gc\ndef f(x):\n for found in gc.get_objects():\n  if isinstance(found, dict) and 'expected' in found: return int(found['expected'])"),
    Attack("expected-from-modules", "looks through every module's namespace", "failed", _SEARCH + "def f(x):\n for name, module in list(sys.modules.items()):\n  if 'plum' in name or name in ('__main__', 'solution'):\n   found = search(vars(module))\n   if found is not None: return found"),
    Attack("expected-from-main", "looks in __main__, arguments and the environment", "failed", "import os, sys, __main__\ndef f(x):\n for text in [*sys.argv, *os.environ.values(), *map(str, vars(__main__))]:\n  if 'expected' in text: return 4"),
    Attack("expected-from-the-source", "reads the case's source, where an answer may stand beside the call", "failed", "import sys\ndef f(x):\n frame = sys._getframe(1)\n return next((c for c in frame.f_code.co_consts if c not in (2, None)), 5)"),
    Attack("expected-from-descriptors", "reads whatever descriptors are open", "failed", "import os\ndef f(x):\n for fd in range(256):\n  try:\n   os.set_blocking(fd, False)\n   text = os.read(fd, 4096)\n   if text: return text\n  except OSError: pass"),
    Attack("expected-output-from-frames", "a script looks in every frame for what it should print", "failed", _SEARCH + "frame = sys._getframe()\nwhile frame:\n print(search(dict(frame.f_locals)))\n frame = frame.f_back", _SECRET),
    Attack("expected-output-from-descriptors", "a script reads its own output file, where an answer may wait", "failed", "import os\nfor fd in range(64):\n try:\n  text = os.pread(fd, 4096, 0)\n  if text.startswith(b'sesame'): print(text)\n except OSError: pass", _SECRET),
    Attack("other-inputs", "reads the inputs of the cases that are still to come", "failed", "import sys\nframe, found = sys._getframe(), ''\nwhile frame:\n found += repr(frame.f_locals)\n frame = frame.f_back\nprint('sesame' if 'sesame' in found else 4)", (PRINTED, Stdio(stdin="sesame", stdout="sesame 1749"))),
    Attack("echoed-exception", "raises, hoping that the message of the comparison comes back", "failed", "log = []\ndef f(x):\n try: assert False\n except AssertionError as e: log.append(e)\n return log[-1].args", cases=2),
]  # fmt: skip

FORGED = [
    Attack("forged-on-every-descriptor", "writes success to every open descriptor", "failed", _FORGED + "def f(x):\n for fd in range(3, 256):\n  try: os.write(fd, frame * 4)\n  except OSError: pass\n return 5", ASSERTED),
    Attack("forged-on-stdout", "prints what judges print on success", "failed", "print('OK\\npassed\\n{\"status\": \"passed\"}\\n__PASSED__\\n0')\nprint('1 passed in 0.01s')\ndef f(x): return 5", ASSERTED),
    Attack("forged-in-shared-memory", "looks for the memory that results are written to", "failed", "import gc, mmap\ndef f(x):\n for found in gc.get_objects() + gc.get_referrers(mmap.mmap) + gc.get_referents(f):\n  if isinstance(found, mmap.mmap): return 4\n return 5"),
    Attack("forged-through-frames", "writes to every object in a frame below that can be written to", "failed|crashed", _FORGED + """
import sys
def f(x):
    at = sys._getframe()
    while at := at.f_back:
        for value in list(at.f_locals.values()):
            for name in ("write", "send", "sendall", "append"):
                try: getattr(value, name)(frame * 8)
                except Exception: pass
    return 5
""", ASSERTED),
    Attack("gc-made-anew", "makes a fresh garbage-collector module", "failed", """
import sys, _imp
def f(x):
    for module in ("gc", "sys"): sys.modules.pop(module, None)
    try: import gc
    except ImportError:
        import importlib.machinery
        try: gc = _imp.create_builtin(importlib.machinery.ModuleSpec("gc", None))
        except ImportError: return 5
    return 4 if len(gc.get_objects()) > 100 else 5
"""),
    Attack("gc-debugging", "has the garbage collector keep and show what it finds", "failed", "import gc\ndef f(x):\n gc.unfreeze(); gc.set_debug(gc.DEBUG_SAVEALL); gc.collect()\n for found in gc.garbage:\n  if type(found).__name__ in ('mmap', 'zip', 'map'): return 4\n return 5"),
    Attack("jump-over-the-failure", "a tracer jumps over the failed assertion", "failed", """
import sys
def tracer(frame, event, argument):
    if event == "exception": frame.f_lineno = frame.f_lineno + 1
    return tracer
def f(x):
    frame = sys._getframe()
    while frame:
        frame.f_trace = tracer
        frame = frame.f_back
    sys.settrace(tracer)
    return 5
""", ASSERTED),
    Attack("tracing-by-other-names", "traces through threading, bdb, profiling and monitoring", "failed|crashed", """
import sys, threading, bdb, cProfile
def tracer(frame, event, argument):
    try: frame.f_lineno = frame.f_lineno + 1
    except Exception: pass
    return tracer
threading.settrace(tracer); threading.setprofile(tracer)
def f(x):
    try: bdb.Bdb().set_trace(sys._getframe(1))
    except BaseException: pass
    monitoring = getattr(sys, "monitoring", None)
    if monitoring:
        monitoring.use_tool_id(2, "evil")
        for event in ("RAISE", "LINE", "PY_UNWIND", "INSTRUCTION"):
            monitoring.register_callback(2, getattr(monitoring.events, event), lambda *a: None)
        monitoring.set_events(2, monitoring.events.RAISE | monitoring.events.PY_UNWIND)
    return 5
""", ASSERTED),
    Attack("written-locals", "changes the locals of the frames below, which some versions of Python allow", "failed|crashed|not_executable", """
import sys
def spoil():
    frame = sys._getframe()
    while frame := frame.f_back:
        for name, value in list(frame.f_locals.items()):
            if callable(value):
                try: frame.f_locals[name] = lambda *a, **k: None
                except Exception: pass
spoil()
def f(x): return 5
""", ASSERTED),
    Attack("written-locals-by-exec", "changes them with the compiler's own names", "failed|crashed", """
import sys
frame = sys._getframe()
while frame := frame.f_back:
    for name in ("execute", "exec", "evaluate", "run"):
        if name in frame.f_locals:
            try: frame.f_locals[name] = lambda *a, **k: None
            except Exception: pass
def f(x): return 5
""", ASSERTED),
    Attack("rewritten-cases", "rewrites the list of statements that wait in a frame", "failed", """
import sys
def rewrite(value):
    if isinstance(value, dict):
        for item in list(value.values()): rewrite(item)
    if isinstance(value, list):
        for number, item in enumerate(value):
            if isinstance(item, str) and "assert" in item: value[number] = "pass"
            else: rewrite(item)
frame = sys._getframe()
while frame := frame.f_back:
    for value in list(frame.f_locals.values()): rewrite(value)
def f(x): return 5
""", ASSERTED),
    Attack("thread-that-watches-frames", "a thread writes through whatever appears in other threads' frames", "failed", """
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
""", ASSERTED),
    Attack("raising-timer", "a timer raises inside the machinery, again and again", "failed|crashed|not_executable", "import signal\ndef h(*a): raise SystemExit(0)\nsignal.signal(signal.SIGALRM, h)\nsignal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)\ndef f(x): return 5", ASSERTED, cases=200),
    Attack("raised-into-the-machinery", "a thread raises in the main thread while it reports", "failed|crashed", "import _thread, threading, time\ndef g():\n while True:\n  _thread.interrupt_main()\n  time.sleep(0.0002)\nthreading.Thread(target=g, daemon=True).start()\ndef f(x): return 5", ASSERTED, cases=50),
    Attack("twice-in-one-case", "forks, and both processes report", "failed|crashed", "import os\ndef f(x):\n os.fork()\n return 5", cases=3),
    Attack("gc-out-of-the-library", "makes a garbage-collector module out of the interpreter's own shared library", "failed", """
import _imp, glob, importlib.machinery, struct, sys
class Spec:
    name = "gc"
def made():
    version = "libpython%d.%d*.so*" % sys.version_info[:2]
    paths = [p for f in (sys.base_prefix + "/lib", "/usr/lib", "/usr/lib/*", "/python/lib") for p in glob.glob(f"{f}/{version}")]
    for path in [*paths, sys.executable, None]:
        for spec in (importlib.machinery.ModuleSpec("gc", None, origin=path), Spec):
            Spec.origin = path
            for load in (_imp.create_dynamic, lambda spec: importlib.machinery.ExtensionFileLoader("gc", path).create_module(spec)):
                try: return load(spec)
                except Exception: pass
gc = made()
def f(x):
    for found in gc.get_objects() if gc else ():
        write = getattr(found, "__self__", None) if type(found).__name__ == "builtin_function_or_method" else None
        if type(write).__name__ == "mmap":
            for other in gc.get_objects():
                for token in gc.get_referents(*gc.get_referents(other)) if type(other).__name__ == "list_iterator" else ():
                    if isinstance(token, bytes) and token[:1] == b"T": write.write(token + struct.pack("<cI", b"S", 0))
    return 5
""", ASSERTED),
    Attack("extensions-by-other-names", "makes extension modules from files of its own choice, and looks for the function that could", "failed", """
import _imp, functools, gc, types
found = [_imp.create_dynamic]
for thing in found:
    for name in ("__wrapped__", "__func__", "__self__", "func", "args", "__closure__", "__defaults__"):
        try: value = getattr(thing, name)
        except Exception: continue
        found += [c.cell_contents for c in value] if name == "__closure__" and value else list(value) if isinstance(value, tuple) else [value]
    if isinstance(thing, dict) and len(thing) < 500: found += list(thing.values())
    if len(found) > 5000: break
def f(x):
    for thing in found:
        if type(thing) is types.BuiltinFunctionType and thing.__name__ == "create_dynamic": return 4
        if type(thing) is functools.partial: return 4
    return 5
"""),
    Attack("tracing-every-thread", "a tracer for all threads jumps over the failed assertion", "failed", """
import sys, threading
def tracer(frame, event, argument):
    try: frame.f_lineno = frame.f_lineno + 1
    except Exception: pass
    return tracer
def f(x):
    frame = sys._getframe()
    while frame := frame.f_back: frame.f_trace, frame.f_trace_opcodes = tracer, True
    for name in ("_settraceallthreads", "_setprofileallthreads", "settrace", "setprofile"):
        getattr(sys, name, id)(tracer)
    for name in ("settrace_all_threads", "setprofile_all_threads"):
        getattr(threading, name, id)(tracer)
    return 5
""", ASSERTED),
    Attack("monitoring-made-anew", "looks for sys.monitoring in all modules, and has it call back and change what runs", "failed", """
import importlib, sys
seen = []
def f(x):
    for module in [m for m in [sys, *sys.modules.values()] if hasattr(m, "monitoring") or hasattr(m, "register_callback")]:
        m = getattr(module, "monitoring", module)
        try: m.use_tool_id(3, "other")
        except Exception: pass
        for event in ("RAISE", "LINE", "PY_RETURN", "CALL", "C_RAISE", "INSTRUCTION"):
            m.register_callback(3, getattr(m.events, event), lambda *a: seen.append(a))
        m.set_events(3, m.events.LINE | m.events.CALL | m.events.PY_RETURN)
    sorted([1, x]); importlib.invalidate_caches()
    if seen: return 4
    return 5
"""),
    Attack("memory-through-ctypes", "reaches for memory with ctypes", "not_executable", "import ctypes\ndef f(x): return 4"),
    Attack("memory-through-test-modules", "reaches for memory with the interpreter's own test modules", "failed", "import importlib\ndef f(x):\n for name in ('_ctypes', '_testcapi', '_testinternalcapi', '_xxsubinterpreters', '_interpreters', '_interpchannels', '_interpqueues', '_xxinterpchannels', '_testexternalinspection', '_testlimitedcapi', '_testbuffer', 'numpy', 'cffi'):\n  try: importlib.import_module(name)\n  except ImportError: continue\n  return 4\n return 5"),
]  # fmt: skip

_HARNESS = "import sys\nparts = [m for n, m in sys.modules.items() if 'plum_hub' in n]\n"

_ENCODER = (
    _HARNESS
    + """
def patch(writer):
    for module in parts:
        if hasattr(module, "_written"): module._written = writer
"""
)

PATCHED = [
    Attack("patched-harness", "replaces every function of the judge's modules", "failed|crashed|not_executable", _HARNESS + """
import struct
for module in parts:
    for name in [name for name in vars(module) if not name.startswith("__")]:
        setattr(module, name, lambda *a, **k: struct.pack("<cI", b"S", 0))
def f(x): return 5
""", ASSERTED),
    Attack("patched-description", "replaces what describes an exception by a forged success", "failed|crashed", """
import struct, sys
class Evil(bytes):
    __add__ = __radd__ = lambda s, o: struct.pack("<cI", b"S", 0)
frame = sys._getframe()
while frame := frame.f_back:
    for name, value in list(frame.f_globals.items()):
        if callable(value) and "descri" in name: frame.f_globals[name] = lambda e: Evil()
def f(x): return 5
""", ASSERTED),
    Attack("patched-code", "replaces the code of the judge's functions", "failed|crashed", _HARNESS + """
import types
for module in parts:
    for value in list(vars(module).values()):
        if isinstance(value, types.FunctionType) and not value.__closure__:
            try: value.__code__ = (lambda *a, **k: b"S\\0\\0\\0\\0").__code__
            except ValueError: pass
def f(x): return 5
""", ASSERTED),
    Attack("patched-defaults", "replaces the default arguments of the judge's functions", "failed|crashed", _HARNESS + "import types\nfor module in parts:\n for value in list(vars(module).values()):\n  if isinstance(value, types.FunctionType):\n   value.__defaults__ = value.__kwdefaults__ = None\ndef f(x): return 5", ASSERTED),
    Attack("patched-encoding", "replaces json, struct and re, with which results are written", "failed|crashed", """
import json, struct, re
json.dumps = json.JSONEncoder.encode = json.encoder.encode_basestring_ascii = lambda *a, **k: "4"
json.loads = json.JSONDecoder.decode = lambda *a, **k: 4
struct.pack = re.match = re.compile = lambda *a, **k: b"4"
def f(x): raise ValueError
"""),
    Attack("patched-encoder-tables", "changes the tables by which values are encoded", "failed|crashed", _HARNESS + "class E:\n def __iter__(s): return iter([4])\nfor module in parts:\n for value in list(vars(module).values()):\n  if isinstance(value, dict) and tuple in value: value[E] = value[tuple]\ndef f(x): return E()"),
    Attack("huge-forged-value", "a patched encoder sends a value that fills the judge's memory", "failed|crashed", _ENCODER + "patch(lambda *a: '[' + '[],' * 9_000_000 + '[]]')\nfor m in parts:\n if hasattr(m, 'MAX_BYTES'): m.MAX_BYTES = 1 << 40\ndef f(x): return 4"),
    Attack("deep-forged-value", "a patched encoder sends brackets to overflow the judge's stack", "failed|crashed", _ENCODER + "patch(lambda *a: '[' * 1_000_000)\ndef f(x): return 4"),
    Attack("forged-number", "a patched encoder sends a number of a million digits", "failed|crashed", _ENCODER + "patch(lambda *a: '9' * 1_000_000)\ndef f(x): return 4"),
    Attack("forged-tags", "a patched encoder sends encodings that mean nothing", "failed|crashed", _ENCODER + "sent = iter(['{\"o\": [1]}', '{\"d\": 4}', '{\"i\": []}', '{\"r\": [1, 2, 0]}', 'NaN', '{\"b\": \"x\"}', '{\"s\": [[4]]}', '\\x00', '{}', '{\"t\": null}'])\npatch(lambda *a: next(sent))\ndef f(x): return 4", FOUR, cases=10),
    Attack("import-hooks", "hooks of its own answer whatever the machinery imports next", "failed|crashed", """
import sys
class Hook:
    def find_spec(self, name, path=None, target=None): raise SystemExit(0)
sys.meta_path.insert(0, Hook()); sys.path_hooks.insert(0, Hook()); sys.modules.clear()
def f(x): return 5
""", ASSERTED),
    Attack("no-recursion-left", "leaves the machinery no stack to report with", "failed|crashed", "import sys\ndef f(x):\n sys.setrecursionlimit(len(__import__('inspect').stack(0)) + 6)\n return 5", ASSERTED, cases=2),
    Attack("interpreter-shut-down", "runs the interpreter's own end inside a case", "failed|crashed", "import atexit, threading\ndef f(x):\n threading._shutdown(); atexit._run_exitfuncs(); atexit._clear()\n return 5", ASSERTED),
]  # fmt: skip
