"""What all sandboxes show to programs and hide from them. Imports nothing, because zygotes may import it."""

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random")
MEMORY_READERS = ("_ctypes*", "_test*", "_xx*", "xx*", "_interp*", "_remote_debugging*")
"""Native modules through which Python code can read its own process's memory, as file name patterns."""
NOBODY = 65534
STACK_BYTES = 64 << 20

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

    Returns:
        Values by variable.
    """
    return {"PYTHONHASHSEED": "1", ELSEWHERE: "1"} if elsewhere else {"PYTHONHASHSEED": "0"}
