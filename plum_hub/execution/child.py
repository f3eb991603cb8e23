"""What happens in a program's own process, after the fork and before its end.

The program can read and change nearly everything here, so nothing here is trusted with a verdict on its own:

- A called program only ever meets the call's expression; the judge, outside, holds the expected value.
- Each result is written behind a random token that the zygote chose. Tokens wait inside C iterators, which no frame, no
  attribute and (see `zygote.py`) no garbage collector query reaches, and a token is taken out only after the step
  that it vouches for has ended. Frames that lie below a program's code therefore hold names of builtins as locals:
  whatever the program does to modules and builtins afterwards does not reach them.
"""

import atexit
import builtins
import gc
import itertools
import json
import os
import sys
import threading
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from plum_hub.execution.values import UnsupportedValueError, encode, name_of
from plum_hub.execution.wire import FRAME

TOKEN_BYTES = 8
LOADED, NOT_LOADED, VALUE, UNSUPPORTED, RAISED, DONE, OUT_OF_MEMORY = b"L", b"N", b"V", b"U", b"R", b"S", b"M"

_PRISTINE = dict(vars(builtins))
_DETAIL = 200


def pipeline(write: Callable[[bytes], object], secret: bytes, results: Iterable[bytes]) -> Iterator[object]:
    """Writes a token and a result for every step, when consumed."""
    tokens = iter([secret[start : start + TOKEN_BYTES] for start in range(0, len(secret), TOKEN_BYTES)])
    return map(write, itertools.chain.from_iterable(zip(tokens, results, strict=False)))


def run(work: list[Iterator[object]]) -> None:
    """Consume the only pipeline in `work`, then end the process. Never returns."""
    leave = os._exit
    try:
        deque(work.pop(), maxlen=0)
        leave(0)
    finally:
        leave(1)


def steps(body: bytes) -> Iterator[bytes]:
    """The results of loading a module and of its cases, in order. Ends early only where no next case can run."""
    catch, memory, unsupported = BaseException, MemoryError, UnsupportedValueError
    exactly, kind_of, size = bytes, type, len
    evaluate, execute, prepare, pack, to_bytes, describe = eval, exec, compile, FRAME.pack, encode, _describe
    job = json.loads(body)
    cases = tuple((kind, source) for kind, source in job["cases"])  # a list in a frame could be rewritten
    try:
        scope = _load(job["code"], job["entry_point"])
    except memory:
        yield pack(OUT_OF_MEMORY, 0)
        return
    except catch as error:
        text = describe(error)
        yield pack(b"N", size(text)) + text
        return
    yield pack(b"L", 0)
    for kind, source in cases:
        try:
            if kind == "call":
                text = to_bytes(evaluate(prepare(source, "<case>", "eval", dont_inherit=True), scope))
                frame = pack(b"V", size(text)) + text
            else:
                execute(prepare(source, "<case>", "exec", dont_inherit=True), scope)
                frame = pack(b"S", 0)
        except memory:
            yield pack(b"M", 0)
            return
        except catch as error:
            text = describe(error)
            text = text if kind_of(text) is exactly else b""
            frame = pack(b"U" if kind_of(error) is unsupported else b"R", size(text)) + text
        yield frame


def _load(code: str, entry_point: str | None) -> dict[str, Any]:
    """Run the module and return the names that its cases see, with builtins that it has not touched."""
    module, own_builtins = types.ModuleType("solution"), types.ModuleType("builtins")
    sys.modules |= {"solution": module, "builtins": own_builtins}
    vars(own_builtins).update(_PRISTINE)
    vars(module)["__builtins__"] = own_builtins
    exec(compile(code, "<program>", "exec", dont_inherit=True), module.__dict__)
    if entry_point is not None and entry_point not in module.__dict__:
        raise NameError(f"the program does not define {entry_point!r}")
    return {**module.__dict__, "__builtins__": _PRISTINE}


def _describe(error: BaseException) -> bytes:
    """The exception's type and message, whatever its own code does."""
    kind = name_of(type(error))
    try:
        message = str(error)
    except BaseException:  # noqa: BLE001  the program's own code runs here, and may raise anything
        message = ""
    return f"{kind}: {message}"[:_DETAIL].encode(errors="backslashreplace")


def script(body: bytes) -> Iterator[bytes]:
    """The one result of running a program as `__main__` over file descriptors 0 and 1."""
    try:
        program = compile(json.loads(body)["code"], "<program>", "exec", dont_inherit=True)
    except MemoryError:
        yield FRAME.pack(OUT_OF_MEMORY, 0)
        return
    except BaseException as error:  # noqa: BLE001  a compiler bomb may raise anything
        text = _describe(error)
        yield FRAME.pack(NOT_LOADED, len(text)) + text
        return
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = ["program.py"]
    try:
        _run_script(program, module)
    except MemoryError:
        yield FRAME.pack(OUT_OF_MEMORY, 0)
    except BaseException as error:  # noqa: BLE001  what the program raises is its result
        text = _describe(error)
        yield FRAME.pack(RAISED, len(text)) + text
    else:
        yield FRAME.pack(DONE, 0)


def _run_script(program: types.CodeType, module: types.ModuleType) -> None:
    """Run, then end as an interpreter ends: threads joined, exit functions called, open files flushed."""
    output = sys.stdout
    try:
        exec(program, module.__dict__)
    except SystemExit as error:
        if error.code not in (None, 0):
            raise
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        _flush(sys.stdout)
        module.__dict__.clear()
        gc.collect()
        _flush(output)


def _flush(stream: Any) -> None:
    """A program may have closed its output, or put anything in its place."""
    if not getattr(stream, "closed", False) and hasattr(stream, "flush"):
        stream.flush()
