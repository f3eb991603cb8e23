"""What all sandboxes show to programs and hide from them. Imports little, because zygotes import it."""

import resource

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random")
MEMORY_READERS = ("_ctypes*", "_test*", "_xx*", "xx*", "_interp*", "_remote_debugging*")
"""Native modules through which Python code can read its own process's memory, as file name patterns."""
NOBODY = 65534
STACK_BYTES, THREAD_STACK_BYTES = 64 << 20, 8 << 20
"""Stack of a program's first thread, and of every further one unless the program chooses another
(`threading.stack_size`). All stacks count towards the limit of the address space.
"""

ELSEWHERE = "PLUM_HUB_ELSEWHERE"
"""Variable that tells a zygote to give programs other surroundings (`base.Program.elsewhere`)."""
OTHER_ENVIRONMENT = {
    "DEBUG": "1", "EDITOR": "ed", "HOME": "/elsewhere", "HOSTNAME": "elsewhere", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
    "LOGNAME": "other", "PATH": "/elsewhere/bin", "PWD": "/elsewhere", "SHELL": "/bin/sh", "TERM": "dumb",
    "TZ": "ELSE-05:45", "USER": "other", "USERNAME": "other",
}  # fmt: skip
"""Environment variables of programs in other surroundings; otherwise programs have none."""


def interpreter_environment(*, elsewhere: bool) -> dict[str, str]:
    """Make the environment that a zygote's interpreter starts with.

    All sandboxes have one hash seed, so that the order of a set never changes a verdict; other surroundings have
    another, so that a proof can show that it does not matter.

    Args:
        elsewhere: Whether its programs get other surroundings.

    All threads have one heap: glibc would reserve 64 MB of the address space for each thread's own.

    Returns:
        Values by variable.
    """
    other = {"PYTHONHASHSEED": "1", ELSEWHERE: "1"} if elsewhere else {"PYTHONHASHSEED": "0"}
    return {"MALLOC_ARENA_MAX": "1", **other}


def limit_stack(most: int) -> None:
    """Set the stack limit of this process as far as the limit that it was started with allows.

    glibc gives each thread a stack of the limit that the interpreter started with, so that one is small
    (`THREAD_STACK_BYTES`) and is raised afterwards (`STACK_BYTES`). The hard limit stays as it is: programs may raise
    theirs up to it, as outside, and the limit of the address space holds all the same.

    Args:
        most: Bytes.
    """
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))
