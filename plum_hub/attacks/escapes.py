# ruff: noqa: E501  programs read better on one line
"""Programs that reach for what lies outside the jail, and programs that leave something behind in it."""

from plum_hub.attacks import NOTHING, Attack
from plum_hub.execution.base import Call

_TRY = """
import fcntl, mmap, os, platform, resource, select, signal, socket, subprocess, time
from pathlib import Path
def attempt(*things):
    for name, thing in things:
        try:
            thing()
        except (OSError, ValueError, ImportError, AttributeError, EOFError, subprocess.SubprocessError):
            continue
        return name
    return "nothing"
def raw(number, *arguments):  # a system call that Python has no name for
    if platform.machine() != "x86_64": raise OSError
    call = ", ".join(map(str, (number, *arguments)))
    subprocess.run(["perl", "-e", f"exit(syscall({call}) == -1 ? 1 : 0)"], check=True, capture_output=True)
def change(become):
    before = os.getresuid(), os.getresgid()
    become()
    if before == (os.getresuid(), os.getresgid()): raise OSError
def alive(descriptor):
    try: os.fstat(descriptor)
    except OSError: return False
    return True
def run(*command):
    subprocess.run(command, check=True, capture_output=True)
"""


def _escape(name: str, about: str, *things: str) -> Attack:
    """Build an attack that evaluates each expression; one that does not raise has escaped."""
    tries = ", ".join(f"({thing!r}, lambda: {thing})" for thing in things)
    return Attack(name, about, "passed", f"{_TRY}\ndef f(x): return attempt({tries})", NOTHING)


def escapes(port: int, secret: str) -> list[Attack]:
    """Build the escapes for a machine with targets (`runner.targets`).

    Args:
        port: A loopback port with TCP and UDP listeners.
        secret: Path of a file that programs must not read.

    Returns:
        The attacks.
    """
    return [
        _escape("environment-of-others", "reads other processes' environments", *(f"open('/proc/{n}/environ').read()" for n in (1, 2, "self")), "open(f'/proc/{os.getppid()}/environ').read()"),
        _escape("memory-of-others", "opens processes' memory", "open('/proc/1/mem', 'rb')", "open('/proc/self/mem', 'r+b')", "open('/proc/self/maps')", "os.listdir('/proc/1')", "open(f'/proc/{os.getppid()}/mem', 'r+b')", "open(f'/proc/{os.getppid()}/maps')"),
        _escape("tables-of-the-kernel", "reads what the kernel tells of the machine", *(f"open('/proc/{n}', 'rb').read(1)" for n in ("kcore", "kallsyms", "cmdline", "mounts", "self/mountinfo", "cpuinfo", "keys", "sys/kernel/hostname", "self/status")), "os.listdir('/proc')"),
        _escape("switches-of-the-kernel", "writes to the kernel's switches", "open('/proc/sysrq-trigger', 'w')", "open('/proc/self/oom_score_adj', 'w')", "open('/proc/self/uid_map', 'w')", "open('/proc/sys/kernel/core_pattern', 'w')", "open('/sys/fs/cgroup/cgroup.procs', 'w')"),
        _escape("descriptors-of-others", "reaches files that other processes have open", "os.listdir('/proc/self/fd')", "os.listdir('/proc/1/fd')", *(f"open('/proc/1/fd/{n}', 'wb')" for n in range(3, 20)), "os.readlink('/proc/1/exe')", "os.readlink('/proc/1/cwd')", "open('/proc/1/root' + '/etc/passwd')"),
        _escape("files-of-the-user", "reads a file of the user's", f"open({secret!r}).read()", f"open({secret!r}, 'r+')", f"os.truncate({secret!r}, 0)", f"os.link({secret!r}, 'l')", f"os.rename({secret!r}, 'r')", "os.listdir('/home')", "os.listdir('/root')", "os.listdir('/var')", "os.listdir(os.path.expanduser('~'))"),
        _escape("files-of-the-machine", "reads the machine's settings", *(f"open('/etc/{n}').read()" for n in ("passwd", "shadow", "hostname", "resolv.conf")), "os.listdir('/sys')", "os.listdir('/etc')", "os.listdir('/run')", "os.listdir('/mnt')"),
        _escape("files-of-the-jail", "reads the machinery's own files", "os.listdir('/')", "os.listdir('/.old')", "os.listdir('/tmp/../root')", "os.chdir('/../../..') or os.listdir('.')"),
        _escape("names-outside", "asks whether files outside exist, how large they are and when they were changed", f"os.stat({secret!r})", "os.chdir('/../../..') or os.stat('etc')"),
        _escape("attributes-outside", "changes modes, times and owners of files outside", *(f"{change}" for path in (repr(secret), "os.path.realpath(os.sys.executable)", "os.path.dirname(os.getcwd())", "'/usr'") for change in (f"os.chmod({path}, 0o777)", f"os.utime({path})", f"os.chown({path}, -1, os.getgid())", f"os.setxattr({path}, 'user.x', b'1')")), "os.fchmod(os.open(os.__file__, os.O_RDONLY), 0o666)", "os.utime(os.open(os.__file__, os.O_RDONLY))", "os.open(os.__file__, os.O_TRUNC)", f"os.symlink({secret!r}, 'm') or os.chmod('m', 0o777)", "fcntl.ioctl(os.open(os.__file__, os.O_RDONLY), 0x40086602, bytes(8))"),
        _escape("disks", "reads and writes disks and terminals", *(f"open('/dev/{n}', 'rb')" for n in ("sda", "vda", "mem", "kmsg", "tty", "console", "ptmx", "fuse", "kvm", "net/tun", "userfaultfd")), "os.mknod('d', 0o60600, os.makedev(254, 0))", "os.openpty()"),
        _escape("writing-outside", "writes outside its scratch", *(f"open('{f}/x', 'w')" for f in ("", "/usr", "/jail", "/dev", "/bin", "/proc", "/lib")), "os.mkdir('/x')", "os.rename('/tmp', '/y')", "os.unlink('/jail/plum_hub/__init__.py')", "os.rmdir('/tmp')"),
        _escape("writing-through-links", "writes outside through links", "os.symlink('/usr', 'l') or open('l/x', 'w')", "os.link('/bin/sh', 'sh')", "os.symlink('/', 'r') or os.listdir('r')", "os.symlink('/proc/self/mem', 'm') or open('m', 'r+b')", "os.chmod('/usr', 0o777)", "os.utime('/usr')", "os.setxattr('/usr', 'user.x', b'1')"),
        _escape("tcp", "connects to a listener of the machine's", f"socket.create_connection(('127.0.0.1', {port}), 1)", f"socket.create_connection(('::1', {port}), 1)", "socket.create_server(('127.0.0.1', 0))"),
        _escape("udp", "sends to a listener of the machine's", f"socket.socket(2, 2).sendto(b'x', ('127.0.0.1', {port}))", "socket.socket(2, 3, 1)", "socket.getaddrinfo('localhost', 'http', type=1) and socket.gethostbyname('example.org')"),
        _escape("other-sockets", "opens sockets of other families", "socket.socket(1, 1)", "socket.socket(16, 3)", "socket.socket(17, 3)", "socket.socket(38, 5)", "socket.socket(40, 1)", "socket.socketpair()[0].connect('\\0machine')", "socket.socketpair(1, 2)[0].sendto(b'x', '\\0machine')", "socket.socketpair(1, 2)", "socket.socketpair()[0].listen()"),
        _escape("signals-to-others", "sends signals to the zygote and to everybody", "os.kill(-1, 9)", "os.killpg(1, 9) or os.killpg(2, 9)", "os.kill(2, 0)", "os.kill(os.getppid(), 9) or os.kill(2, 0)", "raw(129, os.getppid(), 9, 0)", "fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())", "fcntl.fcntl(0, 10, 9)"),
        _escape("stopping-the-zygote", "stops, continues and ends the zygote by every signal", "[os.kill(os.getppid(), s) for s in signal.Signals if s not in (signal.SIGKILL, signal.SIGSTOP)] and os.kill(2, 0)", "os.kill(os.getppid(), signal.SIGSTOP) or os.kill(2, 0)", "signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9) or os.kill(2, 0)", "raw(200, os.getppid(), 9) or os.kill(2, 0)", "raw(234, os.getppid(), os.getppid(), 9) or os.kill(2, 0)"),
        _escape("limits-of-others", "changes the zygote's limits and priority", "resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))", "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))", "os.setpriority(0, 1, 19)", "os.setpriority(0, os.getppid(), 19)", "os.sched_setaffinity(1, {0})", "os.sched_setscheduler(1, 3, os.sched_param(0))", "raw(251, 1, 1, 24576)"),
        # The stack (3) may be as large as outside: it counts towards the address space (9).
        _escape("own-limits", "raises its own limits and priority", *(f"resource.setrlimit({n}, (-1, -1))" for n in range(10) if n not in (5, 8, 2, 3)), "os.nice(-5)", "os.sched_setscheduler(0, 1, os.sched_param(1))", "os.sched_setaffinity(0, {0})"),
        _escape("root-again", "becomes root", "change(lambda: os.setuid(0))", "change(lambda: os.setgid(0))", "change(lambda: os.setresuid(0, 0, 0))", "os.chroot('/tmp')", "os.setgroups([0])", "os.chown('/tmp', 0, 0)", "run('su', '-c', 'true')", "run('sudo', '-n', 'true')"),
        _escape("new-namespaces", "makes namespaces in which it would be root", "run('unshare', '-r', 'true')", "run('unshare', '-m', 'true')", "run('unshare', '-p', 'true')", "raw(272, 0x10000000)", "raw(56, 0x10000011, 0, 0, 0, 0)", "raw(435, 0, 88)"),
        _escape("namespaces-of-others", "enters other processes' namespaces", "run('nsenter', '-t', '1', '-m', 'true')", "os.setns(os.pidfd_open(1), 0x20000)", "raw(308, 3, 0)"),
        _escape("mounts", "mounts and unmounts", "run('mount', '-t', 'tmpfs', 'x', '/tmp')", "run('umount', '/tmp')", "raw(165, 0, 0, 0, 4096, 0)", "raw(428, -100, 0, 1)", "raw(430, 0, 0)", "raw(155, 0, 0)", "raw(442, -1, 0, 0, 0, 0)"),
        _escape("tracing", "traces the zygote and itself", "raw(101, 16, 1, 0, 0)", "raw(101, 0, 0, 0, 0)", "raw(310, 1, 0, 0, 0, 0, 0)", "raw(311, 1, 0, 0, 0, 0, 0)", "raw(438, 3, 0, 0)", "raw(312, 1, 1, 0, 0, 0)", "run('strace', 'true')", "run('gdb', '-p', '1', '--batch')"),
        _escape("kernel-interfaces", "enters parts of the kernel that had many holes", "raw(425, 4, 0)", "raw(321, 0, 0, 0)", "raw(298, 0, 0, -1, -1, 0)", "raw(323, 1)", "raw(248, 0, 0, 0, 0, -4)", "raw(250, 0, -3, 1)", "raw(300, 0, 0)", "raw(447, 0)"),
        _escape("shared-memory", "makes memory and queues that outlive it", "raw(29, 0, 4096, 1023)", "raw(64, 0, 1, 1023)", "raw(68, 0, 1023)", "raw(240, 0, 66, 384, 0)", "os.memfd_create('x')"),
        _escape("clock-and-name", "sets the clock and the machine's name", "time.clock_settime(0, 0)", "socket.sethostname('x')", "raw(164, 0, 0)", "raw(159, 0)", "raw(171, 0, 0)"),
        _escape("machine-at-large", "reboots, loads modules, swaps, reads the kernel's log", "raw(169, 0, 0, 0, 0)", "raw(313, 3, 0, 0)", "raw(175, 0, 0, 0)", "raw(167, 0, 0)", "raw(103, 3, 0, 0)", "raw(246, 0, 0, 0, 0)", "raw(163, 0)", "raw(135, 0x0040000)"),
        _escape("own-native-code", "runs native code of its own", "run('cp', '/bin/true', 'x') or os.execv('x', ['x'])", "run('/lib64/ld-linux-x86-64.so.2', 'x')", "mmap.mmap(os.open('x', os.O_RDONLY), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)", "__import__('importlib.machinery').machinery.ExtensionFileLoader('x', 'x').load_module()", "os.chmod('x', 0o4755) or run('./x')"),
        _escape("native-code-of-others", "loads libraries that read memory from Python", "__import__('ctypes')", "__import__('_ctypes')", "__import__('cffi')", "__import__('_testcapi')", "run('python3', '-c', 'import ctypes')", "run('/usr/bin/python3', '-c', 'import ctypes')"),
        _escape("descriptors-left-open", "uses a descriptor that the machinery left open", "any(map(alive, range(3, 256))) or os.fstat(-1)"),
        _escape("old-addresses", "calls by the 32-bit and x32 tables, which a filter may forget", "raw(0x40000000 + 165, 0, 0, 0, 0, 0)", "raw(0x40000000 + 101, 0, 0, 0, 0)"),
    ]  # fmt: skip


LEFT_BEHIND = [
    Attack("daemon", "a daemon that sleeps", "passed", "import os, time\ndef f(x):\n if os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0: time.sleep(600)\n  os._exit(0)\n return 4"),
    Attack("daemon-that-forks", "daemons that replace each other faster than one is killed", "passed", "import os\ndef f(x):\n if os.fork() == 0:\n  os.setsid()\n  while True:\n   try:\n    if os.fork(): os._exit(0)\n   except OSError: pass\n return 4"),
    Attack("daemon-deaf-to-signals", "a stopped daemon that ignores signals", "passed", "import os, signal, time\ndef f(x):\n if os.fork() == 0:\n  os.setsid()\n  for n in set(signal.Signals) - {9, 19}: signal.signal(n, signal.SIG_IGN)\n  os.kill(os.getpid(), signal.SIGSTOP)\n return 4"),
    Attack("kill-its-group", "a signal to its whole process group", "crashed", "import os\ndef f(x): os.kill(0, 9)"),
    Attack("another-program", "another program in the background", "passed", "import subprocess\ndef f(x):\n subprocess.Popen(['sleep', '600'], start_new_session=True)\n return 4"),
    Attack("file-in-scratch", "files and folders", "passed", "import os\ndef f(x):\n open('left', 'w').close(); os.makedirs('a/b/c')\n return 4"),
    Attack("file-that-resists", "a folder that nobody may enter", "passed", "import os\ndef f(x):\n os.makedirs('a/b'); os.chmod('a', 0)\n return 4"),
    Attack("scratch-that-resists", "takes away the rights to the scratch folder itself", "passed", "import os\ndef f(x):\n try: os.chmod('.', 0)\n except OSError: pass\n return 4"),
    Attack("deep-folders", "folders deeper than a path can name", "passed", "import os\ndef f(x):\n for _ in range(1500):\n  os.mkdir('d' * 200); os.chdir('d' * 200)\n return 4"),
    Attack("folders-of-short-names", "folders deeper than a clean-up could recurse", "passed", "import os\ndef f(x):\n top = os.getcwd()\n for _ in range(900):\n  os.mkdir('d'); os.chdir('d')\n os.chdir(top)\n open('a', 'w').close()\n return 4"),
    Attack("odd-calls", "arguments that no call can have, which a supervisor would have to read", "passed", "import os\ndef f(x):\n open('a', 'w').close()\n for attempt in (lambda: os.utime('a', ns=(1 << 62, -1)), lambda: os.utime('a', (1e17, 1e17)), lambda: os.chmod('a' * 5000, 0), lambda: os.kill(os.getpid(), 1000), lambda: os.chmod(-1, 0), lambda: os.kill(-(1 << 31), 9), lambda: os.utime('a', ns=(0, 999999999))):\n  try: attempt()\n  except (OSError, OverflowError, ValueError): pass\n return 4"),
    Attack("odd-names", "names that are no text, and as long as may be", "passed", "import os\ndef f(x):\n for n in (b'\\xff\\xfe', b'-rf', b'\\n', b'a' * 255, '\\u202e'.encode()): open(b'./' + n, 'w').close()\n return 4"),
    Attack("links-out", "links that a clean-up could follow", "passed", "import os\ndef f(x):\n for n, to in enumerate(('/', '/usr', '/jail', '.', '..', '/proc/self')): os.symlink(to, str(n))\n os.mkdir('a'); os.symlink('..', 'a/b')\n return 4"),
    Attack("full-scratch", "a scratch that is full", "passed", "def f(x):\n try:\n  for n in range(9): open(str(n), 'wb').write(bytes(1 << 24))\n except OSError: pass\n return 4"),
    Attack("no-names-left", "a scratch that has no room for another name", "passed", "def f(x):\n try:\n  for n in range(10 ** 5): open(str(n), 'w').close()\n except OSError: pass\n return 4"),
    Attack("file-in-flight", "a file that only a message to nobody holds", "passed", "import array, os, socket\ndef f(x):\n a, b = socket.socketpair()\n d = os.open('big', os.O_CREAT | os.O_RDWR); os.write(d, bytes(1 << 24)); os.unlink('big')\n for s, r in ((a, b), (b, a)): s.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [d, r.fileno()]))])\n return 4"),
    Attack("other-directory", "goes elsewhere and changes its mask", "passed", "import os\ndef f(x):\n os.umask(0o777); os.chdir('/usr')\n return 4"),
    Attack("shared-memory-file", "a file in /dev/shm", "passed", "def f(x):\n try: open('/dev/shm/left', 'w').write('x')\n except OSError: pass\n return 4"),
    Attack("flags-of-shared-descriptors", "changes the flags of descriptors that it shares with the zygote", "passed", "import fcntl, os\ndef f(x):\n for fd in range(256):\n  try: fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK | os.O_APPEND); fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n  except OSError: pass\n return 4"),
    Attack("patched-for-the-next", "patches modules and builtins that the next program will use", "passed", "import builtins, math, sys\nbuiltins.len = math.sqrt = lambda *a: 1749\nsys.path.insert(0, '/tmp'); sys.setrecursionlimit(50)\ndef f(x): return 4"),
]  # fmt: skip

LOOK = Attack(
    "look", "what the next program finds of the last", "passed",
    "import math, os, sys\n"
    "def f(x): return [os.listdir('.'), left('/dev/shm'), [n for n in range(2, 999) if n not in (os.getpid(), os.getppid()) and lives(n)], len('abc'), math.sqrt(4), room(), '/tmp' in sys.path, os.path.basename(os.getcwd()) in ('tmp', 'scratch')]\n"
    "def left(folder):\n try: return 'left' in os.listdir(folder)\n except OSError: return False\n"
    "def lives(n):\n try: os.kill(n, 0)\n except ProcessLookupError: return False\n return True\n"
    "def room():\n s = os.statvfs('.'); return s.f_ffree > 4000 and (s.f_blocks - s.f_bfree) * s.f_bsize < 4 << 20 or s.f_blocks * s.f_bsize > 1 << 27\n",
    Call(expression="f(2)", expected="[[], False, [], 3, 2.0, True, False, True]"),
)  # fmt: skip
"""Run after each program of LEFT_BEHIND, by the same worker."""
