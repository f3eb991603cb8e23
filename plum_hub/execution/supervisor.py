"""Decide the gated system calls of a sandbox without namespaces. Runs beside the sandbox, not in it.

The kernel stops a process at such a call and reports its number and arguments (seccomp_unotify(2)). Calls that are
decided by values alone are then carried out by the kernel. Calls that name a process or a file are carried out here, on
a handle that was checked before, so that nothing can change in between:

- Signals reach only processes of the sandbox, and never its zygote, which is to programs what the first process of a
  pid namespace is: signalling it succeeds and has no effect.
- The number of processes and threads together is limited here, because the kernel's limit counts those of the user on
  the whole machine. While the zygote kills what a program left behind, no process can be started.
- Files are the subject of `supervised_files.py`.
"""

import contextlib
import errno
import fcntl
import os
import select
import signal
import struct
import time
from collections.abc import Iterator

from plum_hub.execution import filters
from plum_hub.execution.supervised_files import FileSupervisor
from plum_hub.execution.system_call import RefusedError, SystemCall, caller_of, signed, threads_of

_RECEIVE, _SEND, _ADD_FD, _SET_FLAGS = 0xC0502100, 0xC0182101, 0x40182103, 0x40082104  # SECCOMP_IOCTL_NOTIF_*
_SYNCHRONOUS_WAKE_UP = 1
_NOTIFICATION = struct.Struct("<QIIiIQ6Q")
_RESPONSE = struct.Struct("<QqiI")
_ADD_FD_REQUEST = struct.Struct("<QIIII")
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE

_MAX_TASKS = 64
"""Processes and threads, the zygote included; the same as the resource limit in a jail."""
_CHECK_INTERVAL_MS = 50
_FULL_SECONDS = 0.005
"""How long to refuse new processes after the limit was reached, before counting again."""


class Supervisor:
    """Answers system calls until its process is killed.

    Args:
        listener: The descriptor from `filters.install_gates`.
        zygote: Pid of the process that forks programs.
        scratch: Real path of the folder that programs may write to.
        scratch_bytes: Limit of its files together.
    """

    def __init__(self, listener: int, zygote: int, scratch: str, scratch_bytes: int) -> None:
        self._listener, self._zygote = listener, zygote
        self._files = FileSupervisor(scratch, scratch_bytes)
        self._names = {number: name for name, number in filters.system_calls().items()}
        self._started = 0
        self._full_until = 0.0
        self._sweeping = False

    def serve(self) -> None:
        """Answer every call until no process is left that could make one."""
        with contextlib.suppress(OSError):  # Linux 6.6 and newer
            fcntl.ioctl(self._listener, _SET_FLAGS, _SYNCHRONOUS_WAKE_UP)
        buffer, poller = bytearray(_NOTIFICATION.size), select.poll()
        poller.register(self._listener, select.POLLIN)
        while True:
            buffer[:] = bytes(_NOTIFICATION.size)
            if self._files.may_grow and not poller.poll(_CHECK_INTERVAL_MS):
                self._check_files()
                continue
            try:
                fcntl.ioctl(self._listener, _RECEIVE, buffer, True)
            except (FileNotFoundError, InterruptedError):  # the caller was killed in the meantime
                continue
            notification, thread, _, number, _, _, *arguments = _NOTIFICATION.unpack(buffer)
            answer = self._answer(notification, SystemCall(self._names.get(number, ""), thread, tuple(arguments)))
            with contextlib.suppress(FileNotFoundError):
                fcntl.ioctl(self._listener, _SEND, _RESPONSE.pack(notification, *answer))

    def _answer(self, notification: int, call: SystemCall) -> tuple[int, int, int]:
        """Return result, negative error number and flags of a response."""
        try:
            result = self._decide(call)
            if isinstance(result, tuple):
                file, close_on_exec = result
                return self._add_file(notification, file, close_on_exec), 0, 0
        except OSError as error:
            return 0, -(error.errno or errno.EPERM), 0
        except (ArithmeticError, ValueError):  # arguments that no valid call can have
            return 0, -errno.EINVAL, 0
        return 0, 0, 0 if result else _CONTINUE

    def _check_files(self) -> None:
        """Kill a program whose files have grown far above the limit."""
        processes = [*self._descendants()]
        if not processes:
            self._files.reset()
        elif self._files.exceed_limit(processes):
            self._sweeping = True
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    self._signal(process, signal.SIGKILL)

    def _add_file(self, notification: int, file: int, flags: int) -> int:
        """Install a descriptor of this process in the caller, and return its number there."""
        request = bytearray(_ADD_FD_REQUEST.pack(notification, 0, file, 0, flags))
        try:
            number: int = fcntl.ioctl(self._listener, _ADD_FD, request, True)
            return number
        finally:
            os.close(file)

    def _decide(self, call: SystemCall) -> bool | tuple[int, int]:
        """Decide a system call.

        True if it was carried out here, False if the kernel shall do it, or a descriptor for the caller.

        Raises:
            OSError: The call fails with this error number.
        """
        if call.name in ("clone", "fork", "vfork"):
            self._start(call.thread)
            return False
        if call.name == "kill":
            return self._kill(call.thread, signed(call.arguments[0]), signed(call.arguments[1]))
        if call.name in ("tkill", "tgkill"):
            _check_thread(call)
            return False
        return call.thread != self._zygote and self._files.decide(call)

    def _start(self, thread: int) -> None:
        """Count a process or thread that is about to start."""
        if thread == self._zygote:
            self._started, self._full_until, self._sweeping = 0, 0.0, False
            self._files.reset()
            return
        if self._sweeping or time.monotonic() < self._full_until:
            raise RefusedError(errno.EAGAIN)
        if self._started >= _MAX_TASKS - 2:  # besides the zygote and the program's first process
            self._started = sum(len(threads_of(process)) for process in self._descendants()) - 1
            if self._started >= _MAX_TASKS - 2:
                self._full_until = time.monotonic() + _FULL_SECONDS
                raise RefusedError(errno.EAGAIN)
        self._started += 1

    def _descendants(self) -> Iterator[int]:
        """Yield every process of the sandbox except its zygote."""
        pending = [*_children(self._zygote)]
        while pending:
            process = pending.pop()
            yield process
            pending += _children(process)

    def _kill(self, thread: int, target: int, number: int) -> bool:
        """Send a signal within the sandbox, as kill(2) does.

        False for a signal to the caller itself, which the kernel delivers before the call returns.
        """
        caller = caller_of(thread)
        if target == caller:
            return False
        if not 0 <= number < signal.NSIG:
            raise RefusedError(errno.EINVAL)
        if caller == self._zygote:
            self._sweeping = True
        if target > 0:
            if target != self._zygote:
                self._signal(target, number)
            return True
        group = {0: os.getpgid(caller), -1: 0}.get(target, -target)
        reached = False
        for process in [*self._descendants()]:
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(process) == group or (target == -1 and process != caller):
                    self._signal(process, number)
                    reached = True
        if not reached:
            raise RefusedError(errno.ESRCH)
        return True

    def _signal(self, process: int, number: int) -> None:
        """Send a signal to a process after verifying that it is still one of the sandbox's, since pids are reused."""
        try:
            handle = os.pidfd_open(process)
        except OSError:  # it does not exist, or is a thread
            raise ProcessLookupError(errno.ESRCH, "no such process") from None
        try:
            if not self._is_descendant(process):
                raise ProcessLookupError(errno.ESRCH, "no such process")
            signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)

    def _is_descendant(self, process: int) -> bool:
        while process > 1:
            process = _parent(process)
            if process == self._zygote:
                return True
        return False


def _check_thread(call: SystemCall) -> None:
    """Refuse a signal to a thread of another process."""
    caller = caller_of(call.thread)
    process, thread = call.arguments[:2] if call.name == "tgkill" else (caller, call.arguments[0])
    if signed(process) != caller or signed(thread) not in threads_of(caller):
        raise RefusedError(errno.ESRCH)


def _parent(process: int) -> int:
    """Return a process's parent; 0 if the process has ended."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123  called for every signal; pathlib is slower
            return int(file.read().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _children(process: int) -> Iterator[int]:
    for thread in threads_of(process):
        with (
            contextlib.suppress(FileNotFoundError, ProcessLookupError),
            open(f"/proc/{process}/task/{thread}/children", "rb") as file,  # noqa: PTH123
        ):
            yield from map(int, file.read().split())
