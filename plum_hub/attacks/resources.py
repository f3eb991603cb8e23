# ruff: noqa: E501  programs read better on one line
"""Programs that use more than their share, and programs that try to do so without being counted."""

from plum_hub.attacks import PRINTED, Attack

TAKEN = [
    Attack("endless-loop", "loops", "timed_out", "def f(x):\n while True: pass"),
    Attack("endless-load", "loops before any case", "timed_out", "while True: pass"),
    Attack("endless-script", "a script that loops", "timed_out", "while True: pass", PRINTED),
    Attack("endless-sleep", "sleeps", "timed_out", "import time\ndef f(x): time.sleep(1000)"),
    Attack("endless-input", "waits for input that never comes", "timed_out", "import os\nr, w = os.pipe()\nos.read(r, 1)", PRINTED),
    Attack("deadlock", "waits for a lock that it holds", "timed_out", "import threading\ndef f(x):\n lock = threading.Lock()\n lock.acquire(); lock.acquire()"),
    Attack("slow-regex", "a regular expression that backtracks for ever", "timed_out", "import re\ndef f(x): return re.match('(a+)+$', 'a' * 64 + 'b')"),
    Attack("huge-int", "one operation that takes for ever and cannot be interrupted", "timed_out", "def f(x): return len(str(7 ** 10 ** 9)) if x else 4"),
    Attack("digits-of-a-huge-int", "converts millions of digits", "timed_out", "import sys\nsys.set_int_max_str_digits(0)\ndef f(x): return len(str(1 << 30_000_000))"),
    Attack("colliding-hashes", "a dictionary whose keys all collide", "timed_out", "def f(x): return len({n * ((1 << 61) - 1): n for n in range(1, 200_000)})"),
    Attack("huge-range", "sums a range without end", "timed_out", "def f(x): return sum(range(10 ** 15))"),
    Attack("memory-at-once", "asks for 80 GB", "out_of_memory", "def f(x): return len([0] * 10 ** 10)", memory_mb=256),
    Attack("memory-by-and-by", "takes memory a megabyte at a time", "out_of_memory", "def f(x):\n a = []\n while True: a.append(bytearray(1 << 20))", memory_mb=256),
    Attack("memory-while-loading", "asks for 80 GB before any case", "out_of_memory", "a = [0] * 10 ** 10\ndef f(x): return 4", memory_mb=256),
    Attack("memory-by-mapping", "maps memory that no allocator counts", "failed|out_of_memory", "import mmap\ndef f(x):\n a = []\n while True:\n  a.append(mmap.mmap(-1, 1 << 26)); a[-1].write(b'x' * (1 << 26))", memory_mb=256),
    Attack("memory-in-a-script", "a script that takes memory", "out_of_memory", "a = []\nwhile True: a.append(bytearray(1 << 20))", PRINTED, memory_mb=256),
    Attack("memory-in-a-string", "doubles a string", "out_of_memory", "def f(x):\n a = 'x'\n while True: a += a", memory_mb=256),
    Attack("memory-in-threads", "many threads with large stacks", "failed|out_of_memory", "import threading\nthreading.stack_size(1 << 26)\ndef f(x):\n e = threading.Event()\n for _ in range(100): threading.Thread(target=e.wait, daemon=True).start()\n return 4", memory_mb=256),
    Attack("recursion", "calls itself", "failed", "def f(x): return f(x)"),
    Attack("stack-overflow", "overflows the C stack", "crashed|failed", "import sys\nsys.setrecursionlimit(10 ** 9)\nclass A:\n __repr__ = lambda s: repr(s)\ndef f(x): return repr(A())"),
    Attack("parser-bomb", "source that a parser cannot nest", "not_executable", "f = " + "(" * 5000 + ")" * 5000),
    Attack("compiler-bomb", "source that overflows the compiler", "not_executable|out_of_memory", "f = " + "-" * 100_000 + "1"),
    Attack("compiled-constant", "source whose constants would fill the memory", "not_executable|out_of_memory|timed_out|failed", "f = (1 << 40) << (1 << 40)"),
    Attack("null-byte", "source that is no text", "not_executable", "f = '\0'"),
    Attack("half-a-character", "source that no encoding can write", "not_executable", "f = '\ud800'"),
    Attack("full-disk", "writes a file without end", "crashed|failed", "def f(x):\n with open('a', 'wb') as a:\n  while True: a.write(bytes(1 << 20))"),
    Attack("full-disk-of-many", "fills the scratch with many files", "failed", "def f(x):\n for n in range(100):\n  with open(str(n), 'wb') as a: a.write(bytes(1 << 22))\n return 4"),
    Attack("full-disk-later", "opens many files first and fills them then, some without a name", "failed|crashed", "import os\ndef f(x):\n files = [open(str(n), 'wb') for n in range(20)]\n for n in range(10): os.unlink(str(n))\n while True:\n  for a in files: a.write(bytes(1 << 22))"),
    Attack("many-files", "makes a million files", "failed", "def f(x):\n for n in range(10 ** 6): open(str(n), 'w').close()"),
    Attack("many-links", "makes links without end", "failed", "import os\nopen('a', 'w').close()\ndef f(x):\n for n in range(10 ** 6): os.symlink('a', str(n))"),
    Attack("sparse-file", "a file of a terabyte that holds nothing", "crashed|failed", "import os\ndef f(x):\n with open('a', 'wb') as a: os.ftruncate(a.fileno(), 1 << 40)\n return os.stat('a').st_size"),
    Attack("many-descriptors", "opens files without end", "failed", "def f(x):\n a = []\n while True: a.append(open('/dev/null'))"),
    Attack("many-threads", "starts threads without end", "failed", "import threading\ndef f(x):\n e = threading.Event()\n while True: threading.Thread(target=e.wait, daemon=True).start()"),
    Attack("flood-of-output", "prints without end", "timed_out|failed", "def f(x):\n while True: print('x' * 10000)"),
    Attack("flood-in-a-script", "a script that prints without end", "failed", "while True: print('x' * 10000)", PRINTED),
    Attack("flood-on-stderr", "a script that writes errors without end", "timed_out|failed|crashed", "import sys\nwhile True: sys.stderr.write('x' * 10000)", PRINTED),
    Attack("sparse-output", "a script whose output is a file of nothing", "failed|crashed", "import os\nos.ftruncate(1, 60 << 20)", PRINTED),
    Attack("deep-value", "a value a hundred thousand levels deep", "failed|out_of_memory", "def f(x):\n a = []\n for _ in range(10 ** 5): a = [a]\n return a"),
    Attack("self-holding-list", "a list that holds itself", "failed|out_of_memory", "def f(x):\n a = []\n a.append(a)\n return a"),
    Attack("self-holding-dict", "a dictionary that holds itself", "failed|out_of_memory", "def f(x):\n a = {}\n a[1] = a\n return a"),
    Attack("wide-value", "a value that is small here and huge when written", "failed|out_of_memory|timed_out", "def f(x):\n a = []\n for _ in range(60): a = [a, a]\n return a"),
    Attack("colliding-keys", "a value whose keys collide in the judge", "failed", "def f(x): return {n * ((1 << 61) - 1) for n in range(1000)}"),
    Attack("many-long-values", "more results than are carried", "crashed|failed|out_of_memory", "def f(x): return 'x' * 15_999_990", cases=9),
    Attack("huge-repr", "an exception with a message of a gigabyte", "failed|out_of_memory|crashed|timed_out", "def f(x): raise ValueError('x' * (1 << 28))"),
    Attack("endless-message", "an exception whose message never ends", "timed_out", "class E(Exception):\n def __str__(s):\n  while True: pass\ndef f(x): raise E"),
]  # fmt: skip

_BURN = """
import os, threading, time
def burn():
    end = time.thread_time() + 0.3
    while time.thread_time() < end: pass
"""

EVASIONS = [
    Attack("deaf-to-signals", "ignores every signal and catches every exception", "timed_out", """
import signal
def f(x):
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}: signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            while True: pass
        except BaseException: pass
"""),
    Attack("masked-signals", "blocks every signal", "timed_out", "import signal\ndef f(x):\n signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))\n while True: pass"),
    Attack("stopped", "stops itself, so that it earns no time", "timed_out", "import os, signal\ndef f(x): os.kill(os.getpid(), signal.SIGSTOP)"),
    Attack("time-in-a-child", "burns time in a child", "timed_out", "import os\ndef f(x):\n if os.fork() == 0:\n  while True: pass\n os.wait()"),
    Attack("time-in-children", "burns time in four children and answers rightly", "timed_out", _BURN + "def f(x):\n for _ in range(4):\n  if os.fork() == 0:\n   burn(); os._exit(0)\n for _ in range(4): os.wait()\n return 4"),
    Attack("time-in-grandchildren", "burns time in processes that are nobody's children", "timed_out", _BURN + "def f(x):\n r, w = os.pipe()\n for _ in range(4):\n  if os.fork() == 0:\n   os.setsid()\n   if os.fork() == 0: burn()\n   os._exit(0)\n os.close(w); os.read(r, 1)\n return 4"),
    Attack("time-in-threads", "burns time in threads and answers rightly", "timed_out", _BURN + "def f(x):\n threads = [threading.Thread(target=burn) for _ in range(4)]\n for t in threads: t.start()\n for t in threads: t.join()\n return 4"),
    Attack("time-in-another-program", "burns time in another program and answers rightly", "timed_out", "import subprocess\ndef f(x):\n subprocess.run(['sh', '-c', 'i=0; while [ $i -lt 3000000 ]; do i=$((i+1)); done'])\n return 4"),
    Attack("naps", "earns time in slices too short for a clock's tick", "timed_out", "import time\ndef f(x):\n while True:\n  end = time.perf_counter() + 0.0005\n  while time.perf_counter() < end: pass\n  time.sleep(0.00001)"),
    Attack("raised-limits", "asks for its limits to be raised, then loops", "timed_out", "import resource\ndef f(x):\n for limit in range(16):\n  try: resource.setrlimit(limit, (-1, -1))\n  except (ValueError, OSError): pass\n while True: pass"),
    Attack("raised-memory", "asks for more memory, then takes it", "out_of_memory", "import resource\ntry: resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nexcept (ValueError, OSError): pass\ndef f(x): return len(bytearray(1 << 31))", memory_mb=256),
    Attack("fork-bomb", "forks without end", "timed_out", "import os\ndef f(x):\n while True:\n  try: os.fork()\n  except OSError: pass"),
    Attack("fork-bomb-that-sleeps", "forks without end and sleeps", "timed_out", "import os, time\ndef f(x):\n while True:\n  try: os.fork()\n  except OSError: time.sleep(100)"),
    Attack("memory-in-children", "each of its children takes what one process may", "failed|out_of_memory|timed_out|crashed", "import os\ndef f(x):\n for _ in range(3):\n  if os.fork() == 0:\n   a = bytearray(180 << 20)\n   while True: os.read(os.pipe()[0], 1)\n return 5", memory_mb=256),
    Attack("memory-in-pipes", "keeps memory in the kernel, in pipes", "failed", "import os\ndef f(x):\n a = []\n while True:\n  r, w = os.pipe(); a.append((r, w))\n  os.set_blocking(w, False)\n  os.write(w, bytes(1 << 16))"),
    Attack("forgets-its-time", "becomes another program to lose its used time", "timed_out", "import os, sys\ndef f(x):\n n = 0\n while n < 10 ** 6: n += 1\n os.execv('/bin/sh', ['sh', '-c', 'while :; do :; done'])"),
    Attack("slow-script-in-parts", "spends its time in every one of its runs", "timed_out", "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\nprint(4)", PRINTED, cases=4),
    Attack("writes-after-its-end", "a child writes the answer after the script has ended", "failed", "import os, time\nif os.fork() == 0:\n time.sleep(0.3)\n os.write(1, b'4\\n')\n os._exit(0)\nos._exit(0)", PRINTED),
]  # fmt: skip
