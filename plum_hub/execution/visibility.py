"""What a jail and a container show and hide alike. Imports nothing, because zygotes may import it."""

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random")
MEMORY_READERS = ("_ctypes*", "_test*", "_xx*", "xx*", "_interp*", "_remote_debugging*")
"""The native modules with which Python code reads its own process's memory, as patterns of file names."""
NOBODY = 65534
STACK_BYTES = 64 << 20
