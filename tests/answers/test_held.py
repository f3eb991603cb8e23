"""Programs that an answer holds as data, shows in other ways than in a fence, corrects by edits, or goes on from."""

import json
import subprocess
import sys
from typing import Any

import pytest

from plum_hub.answers.code import extract_code

F = "def f(x):\n    return x + 1\n"
_WRONG = "def f(x):\n    return x\n"
_DRAFT = f"```python\n{_WRONG}```\nFix:\n"
_CALL = json.dumps({"name": "python", "arguments": {"code": F}})
HELD = {
    "JSON text": json.dumps(f"Here:\n```python\n{F}```\n"),
    "a fence in JSON": json.dumps({"role": "assistant", "content": f"Sure\n```python\n{F}```"}),
    "parts": json.dumps([{"type": "text", "text": f"```python\n{F}```"}]),
    "line ends in JSON": f'{{"code": "{F}"}}',
    "a thought in JSON": json.dumps({"thought": f"At first:\n```python\n{_WRONG}```", "code": F}),
    "a draft in JSON": json.dumps({"draft": _WRONG, "final": F}),
    "JSON in a sentence": f"Sure: {json.dumps({'code': F})}, as asked.",
    "JSON in JSON": f"<tool_call>{json.dumps({'name': 'run', 'arguments': json.dumps({'code': F})})}</tool_call>",
    "a dictionary of Python": repr({"code": F}),
    "a list of lines": json.dumps({"code": F.splitlines()}),
    "a notebook": json.dumps({"cells": [{"cell_type": "code", "source": F.splitlines(True)}], "nbformat": 4}),
    "calls of Mistral": f"[TOOL_CALLS] [{_CALL}]",
    "a call of Llama": f"<function=python>{_CALL}</function>",
    "escaped line ends": "```python\\ndef f(x):\\n    return x + 1\\n```",
    "YAML": "```yaml\ncode: |\n  def f(x):\n      return x + 1\n```",
    "here document": f"```bash\ncat > f.py <<'EOF'\n{F}EOF\n```",
    "coloured HTML": '<pre><code><span class="k">def</span> f(x):\n    <span>return</span> x + 1\n</code></pre>',
    "breaks of HTML": "<pre>def f(x):<br>&nbsp;&nbsp;&nbsp;&nbsp;return x + 1</pre>",
    "HTML in a fence": f"```html\n<pre>{F}</pre>\n```",
    "a token in the line": f"<jupyter_code>{F}<jupyter_output>\n",
    "a token of filling in": f"<|fim_middle|>{F}<|fim_suffix|>",
    "code over lines": "`def f(x):\n    return x + 1\n`",
}
BEHIND = (
    "JSON text",
    "a fence in JSON",
    "a list of lines",
    "YAML",
    "here document",
    "HTML in a fence",
    "coloured HTML",
    "JSON in a sentence",
)
SHOWN = {
    "indented": "Here it is:\n\n    def f(x):\n        return x + 1\n\nThat's it.\n",
    "a directive": ".. code-block:: python\n\n    def f(x):\n        return x + 1\n\nDone.\n",
    "prompts": "Try:\n\n>>> def f(x):\n...     return x + 1\n",
    "indented prompts": "Try:\n\n    >>> def f(x):\n    ...     return x + 1\n",
    "the language in a line": f"```\npython\n{F}```",
    "square labels": f"[BEGIN]\n{F}[END]\n",
    "braces": f"{{code:python}}\n{F}{{code}}\n",
    "a search and its replacement": f"f.py\n```python\n<<<<<<< SEARCH\n{_WRONG}=======\n{F}>>>>>>> REPLACE\n```",
    "a patch": "*** Begin Patch\n*** Add File: f.py\n+def f(x):\n+    return x + 1\n*** End Patch\n",
    "a class among other attributes": f"```{{#id .numberLines .python startFrom=10}}\n{F}```",
    "a soft hyphen": f"```python\n{F.replace('return', 'return' + chr(0xAD))}```",
    "a mark of direction": f"```python\n{F.replace(':', ':' + chr(0x200E))}```",
    "other separators of lines": f"```python\n{F}```".replace("\n", "\u2028"),
    "the task's head first": f"def f(x):\n    '''Add one.'''\n```python\n{F}```",
    "edited": f"{_DRAFT}```diff\n@@ -1,2 +1,2 @@\n def f(x):\n-    return x\n+    return x + 1\n```",
    "edited by a replacement": (
        f"{_DRAFT}```\n<<<<<<< SEARCH\n    return x\n=======\n    return x + 1\n>>>>>>> REPLACE\n```"
    ),
    "edits of another program": f"```python\n{F}```\nIt was:\n```diff\n-    return x - 1\n+    return x\n```",
    "a turn of the user": f"```python\n{F}```\n\nHuman: And f?\n\nAssistant:\n```python\n{_WRONG}```",
    "an instruction": f"{F}\n### Instruction:\nAnd f?\n\n### Response:\n{_WRONG}",
    "another turn in brackets": f"{F}\n[INST] And f? [/INST]\n{_WRONG}",
}
MADE = {
    "one line": "Use `def f(x): return x + 1` and be done.",
    "behind a word": "Answer: def f(x): return x + 1",
    "in a branch": f"```python\n{_WRONG}```\nNo:\n```python\nif True:\n    def f(x):\n        return x + 1\n```",
    "by a call": (
        f"```python\n{_WRONG}```\nNo:\n```python\nfrom functools import partial\nfrom operator import add\n"
        "f = partial(add, 1)\n```"
    ),
}


@pytest.mark.parametrize("name", [*HELD, *SHOWN])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_the_program_is_found_where_it_stands(name: str, end: str) -> None:
    found = extract_code((HELD | SHOWN)[name].replace("\n", end), "f")

    assert found is not None
    assert found.strip("\n") == F.strip("\n")


@pytest.mark.parametrize(
    "text", [pytest.param((HELD | SHOWN)[one], id=one) for one in (*BEHIND, "indented", "prompts")]
)
def test_a_correction_that_is_held_as_data_is_the_answer(text: str) -> None:
    fenced = text if text.startswith("```") or not text.startswith(("{", "[", '"')) else f"```json\n{text}\n```"
    found = extract_code(f"{_DRAFT}{fenced}\n", "f")

    assert found is not None
    assert found.strip("\n") == F.strip("\n")


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{json.dumps({'code': 'def f(x): ...'})}\n```",
        f"```output\n{_WRONG}```",
        "```java\nclass A {}\n```",
        "<pre>f(1) gives 2</pre>",
        "    def f(x):\n        ...\n",
    ],
)
def test_data_that_is_no_whole_program_corrects_nothing(text: str) -> None:
    assert extract_code(f"```python\n{F}```\nSee:\n{text}\n", "f") == F


@pytest.mark.parametrize("name", MADE)
def test_a_definition_of_any_form_is_the_answer(name: str) -> None:
    scope: dict[str, Any] = {}
    exec(str(extract_code(MADE[name], "f")), scope)

    assert scope["f"](1) == 2


@pytest.mark.parametrize(
    "text",
    [
        "The answer f = 5 is right.",
        "1. Read `f`.\n2. Print `f + 1`.",
        "We have\n\n    f + 1 = 4\n\nHence 4.",
        "`def f(x):` starts.",
    ],
)
def test_what_is_said_of_a_program_is_none(text: str) -> None:
    assert extract_code(text, "f") is None
    assert extract_code(text, None) is None


@pytest.mark.parametrize(
    "text",
    [
        "User: str\n\n\ndef f(x: User) -> User:\n    return x\n",
        "def f(x):\n    '''Reply.\n\n    '''\n    return '''\n\nHuman: hi\n'''\n",
        "def f(x):\n    return x\n\n\nHuman: type = int\n",
    ],
)
def test_lines_of_a_program_are_no_turns(text: str) -> None:
    assert extract_code(text, "f") == text
    assert extract_code(f"```python\n{text}```", "f") == text


_SCRIPT = "n = int(input())\nprint(n + 1)\n"


@pytest.mark.parametrize(
    "text",
    [
        f"<pre><code>{_SCRIPT}</code></pre>",
        "Here it is:\n\n    n = int(input())\n    print(n + 1)\n\nDone.\n",
        "```python\ndef go():\n    print(int(input()) + 1)\n```\nCall it:\n```python\ngo()\n```",
        "```python\ndef go():\n    print(int(input()) + 1)\n```\n```python\nif __name__ == '__main__':\n    go()\n```",
        json.dumps({"why": "It reads a number\nand prints it", "code": _SCRIPT}),
        "```python\nn = int(input())\nprint(n)\n```\nNo:\n```diff\n-print(n)\n+print(n + 1)\n```",
    ],
)
def test_the_script_in_an_answer(text: str) -> None:
    program = extract_code(text, None)
    assert program is not None

    ran = subprocess.run([sys.executable, "-I", "-c", program], input="3\n", capture_output=True, text=True, check=True)
    assert ran.stdout == "4\n"
