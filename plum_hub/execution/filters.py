"""The two filters that a jail installs on itself: seccomp (system calls) and Landlock (files).

Both persist through `exec`, apply to every descendant, and cannot be removed.
"""

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from plum_hub.execution.kernel import LayerError, call, prctl, syscall

_DENIED = [
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp", "mount", "umount2",
    "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
    "unshare", "setns", "keyctl", "add_key", "request_key", "bpf", "perf_event_open", "kexec_load",
    "kexec_file_load", "init_module", "finit_module", "delete_module", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "userfaultfd", "socket", "connect", "bind", "listen", "accept", "accept4", "shmget",
    "semget", "msgget", "mq_open", "name_to_handle_at", "open_by_handle_at", "fanotify_init", "swapon", "swapoff",
    "reboot", "acct", "quotactl", "settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "syslog",
    "personality", "vhangup", "setdomainname", "sethostname", "memfd_secret", "setpriority", "sched_setaffinity",
    "sched_setscheduler", "sched_setparam", "sched_setattr", "ioprio_set", "memfd_create", "pidfd_send_signal",
    "rt_sigqueueinfo", "rt_tgsigqueueinfo", "shmat", "shmctl", "semop", "semtimedop", "semctl", "msgsnd", "msgrcv",
    "msgctl", "mq_unlink", "inotify_init", "inotify_init1", "inotify_add_watch", "migrate_pages", "move_pages",
    "get_robust_list", "process_mrelease", "uselib", "chown", "lchown", "fchown", "fchownat", "setxattr", "lsetxattr",
    "fsetxattr", "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat", "file_setattr",
    "open_tree_attr", "utime", "utimes", "futimesat",
]  # fmt: skip
"""Refused with EPERM. `socketpair` is allowed, because asyncio needs it; such a socket cannot be connected to anything
else.

A jail's namespaces make some of these harmless. They are refused there all the same, because a verdict must not depend
on the sandbox, and the landlock sandbox has no namespaces.
"""
_GATED = [
    "kill", "tkill", "tgkill", "fork", "vfork", "creat", "mkdir", "mkdirat", "symlink", "symlinkat", "link", "linkat",
    "mknod", "mknodat", "chmod", "fchmod", "fchmodat", "fchmodat2", "utimensat", "unlink", "unlinkat",
]  # fmt: skip
"""In a sandbox without namespaces, the kernel asks the supervisor (`supervisor.py`) before it carries these out; also
`clone`, opening a file with O_CREAT, and mapping a file as executable.
"""
_X86_64_ONLY = frozenset({
    "inotify_init", "uselib", "chown", "lchown", "utime", "utimes", "futimesat", "fork", "vfork", "creat", "mkdir",
    "symlink", "link", "mknod", "chmod", "open", "unlink",
})  # fmt: skip
_IOCTLS = {
    "TCGETS": 0x5401, "TIOCGPGRP": 0x540F, "TIOCGWINSZ": 0x5413, "FIONREAD": 0x541B, "FIONBIO": 0x5421,
    "FIONCLEX": 0x5450, "FIOCLEX": 0x5451,
}  # fmt: skip
"""The allowed requests of `ioctl`; others change a file's attributes or the owner of its signals."""
_SIGNAL_OWNERS = {"F_SETOWN": 8, "F_SETSIG": 10, "F_SETOWN_EX": 15}
"""Refused commands of `fcntl`: they could send any signal to any process of the same user."""

# Numbers from the kernel's tables (arch/x86/entry/syscalls/syscall_64.tbl; include/uapi/asm-generic/unistd.h).
_SHARED_NUMBERS = {
    "pidfd_getfd": 438, "process_madvise": 440, "move_mount": 429, "open_tree": 428, "fsopen": 430, "fsconfig": 431,
    "fsmount": 432, "fspick": 433, "mount_setattr": 442, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "memfd_secret": 447, "clone3": 435, "pidfd_send_signal": 424, "openat2": 437,
    "process_mrelease": 448, "fchmodat2": 452, "setxattrat": 463, "removexattrat": 466, "open_tree_attr": 467,
    "file_setattr": 469,
}  # fmt: skip
_X86_64 = _SHARED_NUMBERS | {
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "mount": 165, "umount2": 166,
    "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308, "keyctl": 250, "add_key": 248, "request_key": 249,
    "bpf": 321, "perf_event_open": 298, "kexec_load": 246, "kexec_file_load": 320, "init_module": 175,
    "finit_module": 313, "delete_module": 176, "userfaultfd": 323, "socket": 41, "connect": 42, "bind": 49,
    "listen": 50, "accept": 43, "accept4": 288, "shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "fanotify_init": 300, "swapon": 167, "swapoff": 168,
    "reboot": 169, "acct": 163, "quotactl": 179, "settimeofday": 164, "clock_settime": 227, "adjtimex": 159,
    "clock_adjtime": 305, "syslog": 103, "personality": 135, "vhangup": 153, "setdomainname": 171,
    "sethostname": 170, "setpriority": 141, "sched_setaffinity": 203, "sched_setscheduler": 144,
    "sched_setparam": 142, "sched_setattr": 314, "memfd_create": 319, "ioprio_set": 251, "clone": 56, "prlimit64": 302,
    "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "shmat": 30, "shmctl": 31, "semop": 65, "semctl": 66,
    "semtimedop": 220, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "mq_unlink": 241, "inotify_init": 253,
    "inotify_init1": 294, "inotify_add_watch": 254, "migrate_pages": 256, "move_pages": 279, "get_robust_list": 274,
    "uselib": 134, "chown": 92, "fchown": 93, "lchown": 94, "fchownat": 260, "setxattr": 188, "lsetxattr": 189,
    "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "utime": 132, "utimes": 235,
    "futimesat": 261, "kill": 62, "tkill": 200, "tgkill": 234, "fork": 57, "vfork": 58, "creat": 85, "mkdir": 83,
    "mkdirat": 258, "symlink": 88, "symlinkat": 266, "link": 86, "linkat": 265, "mknod": 133, "mknodat": 259,
    "chmod": 90, "fchmod": 91, "fchmodat": 268, "utimensat": 280, "unlink": 87,
    "unlinkat": 263, "mmap": 9, "mprotect": 10, "pkey_mprotect": 329,
    "open": 2, "openat": 257, "truncate": 76, "fcntl": 72, "ioctl": 16, "socketpair": 53, "seccomp": 317,
}  # fmt: skip
_AARCH64 = _SHARED_NUMBERS | {
    "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "mount": 40, "umount2": 39,
    "pivot_root": 41, "chroot": 51, "unshare": 97, "setns": 268, "keyctl": 219, "add_key": 217, "request_key": 218,
    "bpf": 280, "perf_event_open": 241, "kexec_load": 104, "kexec_file_load": 294, "init_module": 105,
    "finit_module": 273, "delete_module": 106, "userfaultfd": 282, "socket": 198, "connect": 203, "bind": 200,
    "listen": 201, "accept": 202, "accept4": 242, "shmget": 194, "semget": 190, "msgget": 186, "mq_open": 180,
    "name_to_handle_at": 264, "open_by_handle_at": 265, "fanotify_init": 262, "swapon": 224, "swapoff": 225,
    "reboot": 142, "acct": 89, "quotactl": 60, "settimeofday": 170, "clock_settime": 112, "adjtimex": 171,
    "clock_adjtime": 266, "syslog": 116, "personality": 92, "vhangup": 58, "setdomainname": 162,
    "sethostname": 161, "setpriority": 140, "sched_setaffinity": 122, "sched_setscheduler": 119,
    "sched_setparam": 118, "sched_setattr": 274, "memfd_create": 279, "ioprio_set": 30, "clone": 220, "prlimit64": 261,
    "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "shmat": 196, "shmctl": 195, "semop": 193, "semctl": 191,
    "semtimedop": 192, "msgsnd": 189, "msgrcv": 188, "msgctl": 187, "mq_unlink": 181, "inotify_init1": 26,
    "inotify_add_watch": 27, "migrate_pages": 238, "move_pages": 239, "get_robust_list": 100, "fchown": 55,
    "fchownat": 54, "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15,
    "fremovexattr": 16, "kill": 129, "tkill": 130, "tgkill": 131, "mkdirat": 34, "symlinkat": 36, "linkat": 37,
    "mknodat": 33, "fchmod": 52, "fchmodat": 53, "utimensat": 88, "unlinkat": 35,
 "mmap": 222, "mprotect": 226, "pkey_mprotect": 288,
    "openat": 56, "truncate": 45, "fcntl": 25, "ioctl": 29, "socketpair": 199, "seccomp": 277,
}  # fmt: skip
_MACHINES = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}

_NAMESPACE_FLAGS = 0x7E020080  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET,TIME}
_CLONE_FILES, _CLONE_THREAD = 0x400, 0x10000
_PROT_EXEC, _MAP_ANONYMOUS = 4, 0x20
_O_ACCMODE, _O_CREAT, _O_TRUNC, _O_TMPFILE = 3, 0x40, 0x200, 0x400000
_AF_UNIX, _SOCKET_TYPE, _SOCK_STREAM, _SOCK_SEQPACKET = 1, 0xF, 1, 5
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_BITS, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _KILL, _NOTIFY = 0x7FFF0000, 0x80000000, 0x7FC00000
_REFUSE, _ABSENT, _NO_TERMINAL = 0x00050001, 0x00050026, 0x00050019  # EPERM, ENOSYS, ENOTTY
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_X32_BIT = 0x40000000

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_SECCOMP_SET_MODE_FILTER, _NEW_LISTENER, _WAIT_KILLABLE = 1, 1 << 3, 1 << 5
_VERSION_TRUNCATE = 3
"""The first Landlock ABI that can forbid truncation."""
_Steps: TypeAlias = list[tuple[int, int, int, int]]


def system_calls() -> dict[str, int]:
    """Return this processor's system call numbers.

    Returns:
        The number by name.

    Raises:
        LayerError: The numbers of this processor are unknown.
    """
    return _machine()[1]


def _machine() -> tuple[int, dict[str, int]]:
    """Return the audit architecture and the system call numbers of this processor."""
    machine = platform.machine()
    if machine not in _MACHINES:
        raise LayerError("seccomp", f"unknown system call numbers for {machine} processors")
    return _MACHINES[machine]


def install_seccomp() -> None:
    """Refuse, permanently, system calls that lead out of a jail or into parts of the kernel that no program needs.

    Raises:
        LayerError: The kernel has no seccomp filters, or the system calls of this processor are unknown.
    """
    header, _code = _filter()
    prctl("seccomp", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(header))


def install_gates(max_version: int = sys.maxsize) -> int:
    """Install the same filter with the notifications that a sandbox without namespaces needs.

    Args:
        max_version: Newest Landlock ABI to rely on: what it cannot restrict is refused by this filter.

    Returns:
        The file descriptor on which a supervisor answers for the gated system calls (seccomp_unotify(2)); closed on
        exec.

    Raises:
        LayerError: As `install_seccomp`, or this process already has a supervisor of this kind.
    """
    header, _code = _filter(landlock=min(landlock_version(), max_version))
    number = system_calls()["seccomp"]

    def install(flags: int) -> int:
        return syscall(number, _SECCOMP_SET_MODE_FILTER, flags, ctypes.c_char_p(header))

    try:
        return call("seccomp", lambda: install(_NEW_LISTENER | _WAIT_KILLABLE))
    except LayerError:  # the second flag needs Linux 5.19
        return call("seccomp", lambda: install(_NEW_LISTENER))


def _filter(landlock: int | None = None) -> tuple[bytes, "ctypes.Array[ctypes.c_char]"]:
    """Build `struct sock_fprog` and the program that it points to.

    With `landlock`, the ABI version in use, the filter contains the gates.
    """
    architecture, numbers = _machine()
    program = _bpf(architecture, numbers, landlock)
    code = ctypes.create_string_buffer(program, len(program))
    return struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)), code


def _bpf(architecture: int, numbers: dict[str, int], landlock: int | None = None) -> bytes:
    """Assemble the filter as classic BPF: `struct sock_filter` is code, jump if true, jump if false, operand."""
    steps: _Steps = [
        (_LOAD, 0, 0, _ARCHITECTURE), (_JUMP_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER), (_JUMP_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL),
    ]  # fmt: skip
    rules = {name: [(_RETURN, 0, 0, _REFUSE)] for name in _DENIED} | _rules()
    if landlock is not None:
        rules |= {name: [(_RETURN, 0, 0, _NOTIFY)] for name in _GATED} | _gates()
        if landlock < _VERSION_TRUNCATE:
            rules["truncate"] = [(_RETURN, 0, 0, _REFUSE)]
    for name, rule in rules.items():
        if name in numbers or name not in _X86_64_ONLY:
            steps += [(_JUMP_EQUAL, 0, len(rule), numbers[name]), *rule]
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _argument(number: int) -> tuple[int, int, int, int]:
    """Load the low half of a system call's argument."""
    return _LOAD, 0, 0, _FIRST_ARGUMENT + 8 * number


def _rules() -> dict[str, _Steps]:
    """Return the rules that depend on a system call's arguments, in every sandbox."""
    allow, refuse = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)
    ioctls = [(_JUMP_EQUAL, len(_IOCTLS) - index, 0, code) for index, code in enumerate(_IOCTLS.values())]
    owners = [(_JUMP_EQUAL, len(_SIGNAL_OWNERS) - index, 0, code) for index, code in enumerate(_SIGNAL_OWNERS.values())]
    return {
        # clone3 passes its flags by pointer; without it, the C library falls back to clone.
        "clone3": [(_RETURN, 0, 0, _ABSENT)],
        # Only its own limits (pid 0): with another pid a program could starve the zygote.
        "prlimit64": [_argument(0), (_JUMP_EQUAL, 0, 1, 0), allow, refuse],
        "clone": [_argument(0), (_JUMP_BITS, 0, 1, _NAMESPACE_FLAGS), refuse, allow],
        # A datagram socket can send to any address, even as one of a pair.
        "socketpair": [
            _argument(0), (_JUMP_EQUAL, 0, 4, _AF_UNIX), _argument(1), (_AND, 0, 0, _SOCKET_TYPE),
            (_JUMP_EQUAL, 2, 0, _SOCK_STREAM), (_JUMP_EQUAL, 1, 0, _SOCK_SEQPACKET), refuse, allow,
        ],
        "ioctl": [_argument(1), *ioctls, (_RETURN, 0, 0, _NO_TERMINAL), allow],
        "fcntl": [_argument(1), *owners, allow, refuse],
    }  # fmt: skip


def _gates() -> dict[str, _Steps]:
    """Return the rules by argument of a sandbox without namespaces, which extend or replace `_rules`."""
    allow, refuse, notify = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _NOTIFY)

    def opening(flags: int) -> _Steps:
        # O_TRUNC empties a file even when it is opened for reading, which Landlock restricts from ABI 3.
        return [
            _argument(flags), (_JUMP_BITS, 0, 1, _O_CREAT | _O_TMPFILE), notify, (_JUMP_BITS, 0, 2, _O_TRUNC),
            (_JUMP_BITS, 1, 0, _O_ACCMODE), refuse, allow,
        ]  # fmt: skip

    return {
        "clone": [
            _argument(0), (_JUMP_BITS, 3, 0, _NAMESPACE_FLAGS), (_JUMP_BITS, 1, 0, _CLONE_THREAD),
            (_JUMP_BITS, 1, 0, _CLONE_FILES), notify, refuse,
        ],
        "mmap": [
            _argument(2), (_JUMP_BITS, 0, 3, _PROT_EXEC), _argument(3), (_JUMP_BITS, 1, 0, _MAP_ANONYMOUS),
            notify, allow,
        ],
        "mprotect": [_argument(2), (_JUMP_BITS, 0, 1, _PROT_EXEC), refuse, allow],
        "pkey_mprotect": [_argument(2), (_JUMP_BITS, 0, 1, _PROT_EXEC), refuse, allow],
        "open": opening(1),
        "openat": opening(2),
        "openat2": [(_RETURN, 0, 0, _ABSENT)],  # passes its flags by pointer
    }  # fmt: skip


_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1
_EXECUTE, _LIST, _READ_AND_RUN = 0b1, 0b1000, 0b1101  # the last: EXECUTE, READ_FILE, READ_DIR
_ON_FILES = 0b111  # EXECUTE, WRITE_FILE, READ_FILE: the rights that a rule for a file may grant
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Number of file access rights in each Landlock ABI; the fifth adds one for devices."""


def landlock_version() -> int:
    """Return the Landlock ABI version of this kernel, or 0 if there is none."""
    return max(0, syscall(_CREATE_RULESET, None, 0, 1))


def install_landlock(
    readable: Iterable[str],
    writable: Iterable[str],
    listable: Iterable[str] = (),
    *,
    signals: bool = False,
    max_version: int = sys.maxsize,
) -> None:
    """Restrict this process to the given files, without TCP, permanently.

    Args:
        readable: Existing files and folders to read and execute, with everything below.
        writable: Existing files and folders with all rights but execution, with everything below.
        listable: Existing folders whose names may be listed.
        signals: Whether to confine signals too, which needs ABI 6; ignored below.
        max_version: Newest ABI to use.

    Raises:
        LayerError: The kernel refused a rule.
    """
    version = min(landlock_version(), max_version)
    rights = (1 << _RIGHTS.get(version, 16)) - 1
    ports = 3 if version >= 4 else 0  # bind and connect
    scopes = (1 | 2 * signals) if version >= 6 else 0  # abstract unix sockets, signals
    attribute = struct.pack("QQQ", rights, ports, scopes)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = call("landlock", lambda: syscall(_CREATE_RULESET, ctypes.c_char_p(attribute), size, 0))
    grants = [(path, _READ_AND_RUN & rights) for path in readable]
    grants += [(path, rights & ~_EXECUTE) for path in writable]
    grants += [(path, _LIST) for path in listable]
    for path, granted in grants:
        target = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not Path(path).is_dir():
            granted &= _ON_FILES
        rule = struct.pack("=Qi", granted, target)
        _add_rule(ruleset, rule)
        os.close(target)
    call("landlock", lambda: syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _add_rule(ruleset: int, rule: bytes) -> None:
    call("landlock", lambda: syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.c_char_p(rule), 0))
