"""What all sandboxes show to programs and hide from them. Imports nothing, because zygotes may import it."""

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random")
MEMORY_READERS = ("_ctypes*", "_test*", "_xx*", "xx*", "_interp*", "_remote_debugging*")
"""Native modules through which Python code can read its own process's memory, as file name patterns."""
NOBODY = 65534
STACK_BYTES = 64 << 20
