"""The two checks, in a process of their own with limits; started by its path, so it imports nothing of plum-hub.

    child.py syntax FOLDER              compile FOLDER/sources.json, write each program that compiles to FOLDER/NAME.py
    child.py mypy MEMORY CPU ARGUMENTS  run mypy with the arguments

Results are JSON lines on standard output. `syntax` writes one line a program before it takes the next, so whoever
reads them knows which program killed this process.
"""

import io
import json
import re
import resource
import signal
import sys
import tokenize
import warnings
from pathlib import Path

_COMMENT_THAT_STEERS = re.compile(r"#.*(?:type|mypy|coding)\s*[:=]")
_SYNTAX_MEMORY = 1 << 30  # bytes
_SYNTAX_SECONDS = 5.0  # CPU time for one program
_MESSAGE = 200  # characters: a line that fits into a pipe at once is written whole or not at all


def _syntax(folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_SYNTAX_MEMORY, _SYNTAX_MEMORY))
    warnings.simplefilter("ignore")
    for name, source in json.loads((folder / "sources.json").read_text()).items():
        signal.setitimer(signal.ITIMER_VIRTUAL, _SYNTAX_SECONDS)  # its signal ends the process, even inside compile()
        line, message = 0, ""
        try:
            compile(source, name, "exec", dont_inherit=True)
            text = _without_steering_comments(source)
        except SyntaxError as error:
            line, message = error.lineno or 0, error.msg
        except (ValueError, MemoryError, RecursionError, OverflowError) as error:
            message = f"{type(error).__name__}: {error}"
        else:
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
        sys.stdout.write(json.dumps([name, line, message[:_MESSAGE]]) + "\n")
        sys.stdout.flush()


def _without_steering_comments(source: str) -> str:
    """The source with `# type: ignore`, `# mypy: ...` and encoding lines blanked: a sample does not steer its judge."""
    if not _COMMENT_THAT_STEERS.search(source):
        return source
    lines = source.splitlines(keepends=True)
    try:
        for token in tokenize.generate_tokens(io.StringIO(source, newline="").readline):
            if token.type == tokenize.COMMENT and _COMMENT_THAT_STEERS.match(token.string):
                row, start = token.start
                lines[row - 1] = lines[row - 1][:start] + lines[row - 1][token.end[1] :]
    except (tokenize.TokenError, SyntaxError, IndexError):  # compile() is more lenient; mypy reads the same tokens
        return source
    return "".join(lines)


def _mypy(memory: int, cpu_seconds: int, arguments: list[str]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    from mypy import api  # in a process that does nothing else

    out, err, status = api.run(arguments)
    sys.stdout.write(json.dumps({"out": out, "err": err[-2000:], "status": status}))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.argv[1] == "syntax":
        _syntax(Path(sys.argv[2]))
    else:
        _mypy(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
