"""Process that renders one model's chat template, within limits; a script, so that it starts in 0.1 s.

A chat template comes with a model, and is a program: Jinja's immutable sandbox keeps it from the machine, but not from
looping or growing for ever. Here each rendering has limits of CPU time, memory and output, and a template that exceeds
them ends this process and nothing else. The environment is that of `transformers`, with which a test
compares it.
"""

import json
import resource
import signal
import sys
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import ext, nodes, parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

CPU_SECONDS, MEMORY_BYTES, MOST_CHARACTERS = 2.0, 1 << 30, 20_000_000
"""Limits of one rendering."""


class GenerationTag(ext.Extension):
    """The tag around what the assistant says; it marks tokens for training, and changes no text."""

    tags = frozenset({"generation"})  # type: ignore[assignment]

    def parse(self, parser: parser.Parser) -> nodes.Node:
        """Parse the tag as a block that is called at once.

        Args:
            parser: Jinja's parser, at the tag.

        Returns:
            The node.
        """
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_shown"), [], [], body).set_lineno(line)

    def _shown(self, caller: Any) -> str:
        return str(caller())


def environment() -> ImmutableSandboxedEnvironment:
    """Return the environment in which a template is rendered."""

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    def tojson(
        value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, ext.loopcontrols]
    )
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = refuse
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return made


def main() -> None:
    """Read the template from the first line of stdin, then values to render it with, each a line of JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    template = json.loads(sys.stdin.readline())
    made: list[jinja2.Template] = []
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # its signal ends the process
        answer = _answer(template, made, json.loads(line))
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _answer(template: str, made: list[jinja2.Template], values: dict[str, Any]) -> dict[str, str]:
    """Render, with the template compiled the first time."""
    try:
        if not made:
            made.append(environment().from_string(template))
        text = made[0].render(**values)
    except jinja2.TemplateSyntaxError as error:  # an unknown filter is one too
        return {"broken": f"it is not valid Jinja: {' '.join(str(error).split())[:200]}"}
    except MemoryError:
        return {"error": f"it takes more than {MEMORY_BYTES >> 20} MiB"}
    except (
        jinja2.TemplateError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        return {"error": " ".join(str(error).split())[:200] or type(error).__name__}
    if len(text) > MOST_CHARACTERS:
        return {"error": f"it makes more than {MOST_CHARACTERS:,} characters of a conversation"}
    return {"text": text}


if __name__ == "__main__":
    main()
