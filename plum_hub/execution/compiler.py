"""Compile programs in the zygote of a jail that runs none. The judge's side is in `precompile.py`."""

import marshal
import warnings

from plum_hub.execution.wire import COMPILED, framed, frames


def answer(body: bytes) -> bytes:
    """Compile a batch of sources.

    Args:
        body: Frames with one source each.

    Returns:
        A frame for each source with the source and its code, marshalled together; empty where compiling raises or
        warns, so that the program's own process finds and reports the reason.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", SyntaxWarning)
        return b"".join([framed(COMPILED, _code(source)) for _, source in frames(body)])


def _code(source: bytes) -> bytes:
    try:
        text = source.decode(errors="surrogatepass")
        return marshal.dumps((text, compile(text, "<program>", "exec", dont_inherit=True)))
    except (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError):
        return b""
