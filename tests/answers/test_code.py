import gzip
import json
import warnings
from pathlib import Path

import pytest

from plum_hub.answers.code import extract_code

OSS = Path(__file__).resolve().parents[3] / "shared/data/instructions/oss_instruct_subset.jsonl.gz"

F = "def f(x):\n    return x + 1\n"
ANSWERS = {
    "one block": (f"Sure! Here it is:\n\n```python\n{F}```\nIt adds one.", F),
    "no language": (f"```\n{F}```", F),
    "tildes": (f"~~~py\n{F}~~~", F),
    "windows line ends": (f"```python\n{F}```".replace("\n", "\r\n"), F),
    "cut before the closing fence": ("```python\ndef f(x):\n    return (x +", "def f(x):\n    return (x +\n"),
    "usage in a second block": (f"```python\n{F}```\nUsage:\n```python\nprint(f(2))\n```", F),
    "usage in the same block stays": (f"```python\n{F}\nprint(f(2))\n```", f"{F}\nprint(f(2))\n"),
    "main guard stays": (
        f"```python\n{F}\nif __name__ == '__main__':\n    f(1)\n```",
        f"{F}\nif __name__ == '__main__':\n    f(1)\n",
    ),
    "output in an untagged block": (f"```python\n{F}```\nOutput:\n```\n3\n```", F),
    "shell first": (f"```bash\npip install numpy\n```\n```python\n{F}```", F),
    "starter repeated first": (f"```python\ndef f(x):\n    pass\n```\nFilled in:\n```python\n{F}```", F),
    "first of two complete versions": (f"```python\n{F}```\nOr:\n```python\ndef f(x): return 1 + x\n```", F),
    "broken, then right": (f"```python\ndef f(x:\n    return\n```\nCorrected:\n```python\n{F}```", F),
    "import in a block of its own": (
        "```python\nimport math\n```\n```python\ndef f(x):\n    return math.sqrt(x)\n```\n```python\nprint(f(4))\n```",
        "import math\n\n\ndef f(x):\n    return math.sqrt(x)\n",
    ),
    "helper after it": (
        "```python\ndef f(x):\n    return g(x)\n```\n```python\ndef g(x):\n    return x\n```",
        "def f(x):\n    return g(x)\n\n\ndef g(x):\n    return x\n",
    ),
    "fence inside a list": ("1. Write:\n   ```python\n   def f(x):\n       return x + 1\n   ```\n2. Done", F),
    "fence in the line of text": (f"Answer: ```python\n{F}```", F),
    "fence at the end of the code": ("```python\ndef f(x):\n    return x + 1```\nDone.", F),
    "opened twice": (f"```\n```python\n{F}```", F),
    "thought before": (f"<think>\n```python\ndef f(x): return 0\n```\n</think>\n```python\n{F}```", F),
    "no fence": (F, F),
    "no fence, prose around": (f"Here is the code:\n\n{F}\nThis doesn't use imports.", F),
    "prose that looks like an import": (f"import the function below\n\n{F}", F),
    "continued completion with a stray fence": (f"{F}```\n\nHere is another one\n```python\ndef f(x): pass\n```", F),
    "class": ("```python\nclass f:\n    def go(self): pass\n```", "class f:\n    def go(self): pass\n"),
    "other name is still the answer": ("```python\ndef g(x):\n    return x\n```", "def g(x):\n    return x\n"),
    "refusal": ("I'm sorry, but I cannot help with that.", None),
    "empty": ("", None),
    "empty block": ("```python\n```", None),
    "only another language": ("```java\nclass A {}\n```", None),
    "thought without end": (f"<think>\n```python\n{F}```", None),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_program_in_an_answer(name: str) -> None:
    text, program = ANSWERS[name]

    assert extract_code(text, "f") == program


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\nn = int(input())\nprint(n)\n```\nInput:\n```\n3\n```", "n = int(input())\nprint(n)\n"),
        ("```python\nx = 1\n```\nAll:\n```python\nx = 1\ny = 2\nprint(x, y)\n```", "x = 1\ny = 2\nprint(x, y)\n"),
        ("n = int(input())\nprint(n)", "n = int(input())\nprint(n)\n"),
        ("Answer", None),
        ("42", None),
    ],
)
@pytest.mark.parametrize("entry_point", [None, ""])
def test_a_script_has_no_entry_point(text: str, program: str | None, entry_point: str | None) -> None:
    assert extract_code(text, entry_point) == program


@pytest.mark.parametrize("code", ["x = " + "(" * 5000, "a\0b = 1", "x = '\\d'\n" + "-" * 100_000 + "1", "f" * 100_000])
def test_source_that_breaks_the_parser_is_still_the_answer(code: str) -> None:
    assert extract_code(f"```python\n{code}\n```", "f") == code + "\n"


@pytest.mark.shared
def test_real_answers_give_programs_that_compile() -> None:
    if not OSS.exists():
        pytest.skip(f"{OSS} is not there")
    with gzip.open(OSS, "rt") as lines:
        rows = [row for row in map(json.loads, lines) if row["lang"] == "python"]
    compiled = 0
    for row in rows:
        if (code := extract_code(row["solution"], None)) is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    compile(code, row["id"], "exec")
                except SyntaxError:
                    continue
            compiled += 1

    assert compiled >= 780  # of 812; the others were read: no code, other languages, or real errors in the syntax
