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
    "prompts behind a blank line": ("```\n\n>>> def f(x):\n...     return x + 1\n>>> f(1)\n2\n```", f"{F}f(1)\n"),
    "prompts of IPython": (
        (
            "```python\nIn [1]: %time\nIn [12]: def f(x):\n    ...:     return x + 1\n    ...:\n\n"
            "In [13]: f(1)\nOut[13]: 2\n```"
        ),
        f"\n{F}\nf(1)\n",
    ),
    "an object": (json.dumps({"explanation": "It adds one.", "code": F}), F),
    "an object in a fence": (f"Here:\n```json\n{json.dumps({'solution': F})}\n```", F),
    "a call of a tool": (f"<tool_call>{json.dumps({'name': 'python', 'arguments': {'code': F}})}</tool_call>", F),
    "tags of HTML": (
        "<pre><code class='language-python'>def f(x):\n    return x + 1 if x &lt; 9 else x</code></pre>",
        "def f(x):\n    return x + 1 if x < 9 else x\n",
    ),
    "a tag on the first line": (f"<answer>{F}</answer>", F),
    "cells of a notebook": (f"```\nIn [1]:\n{F}\nOut[1]:\n2\nmore\n\nIn [ ]:\nx = f(1)\n```", f"{F}\n\nx = f(1)\n"),
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
    "last of two complete versions": (f"```python\ndef f(x): return x\n```\nCorrected:\n```python\n{F}```", F),
    "corrected under another name": (
        "```python\ndef f(x): return x\n```\nCorrected:\n```python\ndef g(x):\n    return x + 1\n\nf = g\n```",
        "def g(x):\n    return x + 1\n\nf = g\n",
    ),
    "a helper corrected": (
        (
            "```python\ndef g(x): return x\n\ndef f(x): return g(x)\n```\n`g` is wrong:\n"
            "```python\ndef g(x):\n    return x + 1\n```"
        ),
        "def g(x): return x\n\ndef f(x): return g(x)\n\n\ndef g(x):\n    return x + 1\n",
    ),
    "another function beside a helper is another answer": (
        (
            f"```python\ndef g(x): return x\n\n{F}```\nOr:\n"
            "```python\ndef g(x): return 0\n\ndef h(x):\n    return g(x)\n```"
        ),
        f"def g(x): return x\n\n{F}",
    ),
    "a helper that is only sketched corrects nothing": (
        f"```python\ndef g(x): return x\n\n{F}```\nRecall:\n```python\ndef g(x):\n    ...\n```",
        f"def g(x): return x\n\n{F}",
    ),
    "a helper corrected between": (
        (
            "```python\ndef g(x): return x\n```\nNo:\n```python\ndef g(x): return x + 1\n```\n"
            "```python\ndef f(x): return g(x)\n```"
        ),
        "def g(x): return x\n\n\ndef g(x): return x + 1\n\n\ndef f(x): return g(x)\n",
    ),
    "a helper of a block of its own corrected": (
        (
            "```python\ndef g(x): return x\n```\n```python\ndef f(x): return g(x)\n```\nNo:\n"
            "```python\ndef g(x): return x + 1\n```"
        ),
        "def g(x): return x\n\n\ndef f(x): return g(x)\n\n\ndef g(x): return x + 1\n",
    ),
    "a helper with other parameters corrects nothing": (
        f"```python\ndef g(x): return x\n\n{F}```\nOr:\n```python\ndef g(x, y):\n    return x + y\n```",
        f"def g(x): return x\n\n{F}",
    ),
    "a helper that needs what is not there corrects nothing": (
        f"```python\ndef g(x): return x\n\n{F}```\nOr:\n```python\n@cache\ndef g(x):\n    return x\n```",
        f"def g(x): return x\n\n{F}",
    ),
    "a helper that is shown again corrects nothing": (
        f"```python\ndef g(x): return x\n\n{F}```\nIn it:\n```python\ndef g(x):\n    # the same\n    return x\n```",
        f"def g(x): return x\n\n{F}",
    ),
    "a part of a class corrects nothing": (
        (
            f"```python\nclass A:\n    def go(self): return 1\n\n{F}```\nYou may add:\n"
            "```python\nclass A:\n    def __repr__(self):\n        return 'A'\n```"
        ),
        f"class A:\n    def go(self): return 1\n\n{F}",
    ),
    "corrected without a fence": (f"```python\ndef f(x):\n    return x\n```\nOops. Corrected:\n\n{F}\nThat is it.", F),
    "mentioned without a fence": (
        f"```python\n{F}```\nHere `def f(x):` begins it, and\n\ndef f(x):\n    pass\n\nis empty.",
        F,
    ),
    "quoted": (f"> ```python\n> {F.strip().replace(chr(10), chr(10) + '> ')}\n> ```", F),
    "quoted twice": (f"> > ```python\n> > {F.strip().replace(chr(10), chr(10) + '> > ')}\n> > ```", F),
    "numbered lines": ("```python\n 9 def f(x):\n10     return x + 1\n```", F),
    "numbered lines with a bar": ("```python\n1 | def f(x):\n2 |     return x + 1\n```", F),
    "numbers that are no lines' own": (
        "```python\n1 def f(x):\n1     return x + 1\n```",
        "1 def f(x):\n1     return x + 1\n",
    ),
    "a difference": ("```diff\n--- a\n+++ b\n@@ -1,2 +1,2 @@\n def f(x):\n-    return x\n+    return x + 1\n```", F),
    "only added lines": ("```python\n+def f(x):\n+    return x + 1\n```", F),
    "commands of a notebook": (f"```python\n%matplotlib inline\n!pip install x\n{F}```", f"\n\n{F}"),
    "indented as a whole": ("    def f(x):\n        return x + 1\n", F),
    "typographic quotes stay": (
        "```python\ndef f(x):\n    return \u201ca\u201d\n```",
        "def f(x):\n    return \u201ca\u201d\n",
    ),
    "a token of tools": (f"<|python_tag|>{F}", F),
    "code in the line of the closing tag": (f"<think>\nHm.\n</think> {F}", F),
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


_DRAFT = "```python\ndef f(x):\n    return x\n```\n"
_BLOCK = f"```python\n{F}```\n"
_TICKS = "```"
REASONING = {
    "closing tag only": f"First:\n{_DRAFT}No.\n</think>\n\n{_BLOCK}",
    "an unclosed draft before the closing tag": f"First:\n```python\ndef f(x):\n    return x\n</think>\n{_BLOCK}",
    "an unclosed string before the closing tag": f"```python\ndef f(x):\n    '''a\n</think>\n{_BLOCK}",
    "text on both sides": f"I'll sort it, that's all.</think>It's this:\n{_BLOCK}",
    "two closing tags": f"{_DRAFT}</think>\n{_DRAFT}</think>\n{_BLOCK}",
    "nested": f"<think>\na <think>\nb</think>\n{_DRAFT}</think>\n{_BLOCK}",
    "thinking": f"<thinking>\n{_DRAFT}</thinking>\n{_BLOCK}",
    "reasoning": f"<reasoning>\n{_DRAFT}</reasoning>\n{_BLOCK}",
    "upper case": f"<THINK>\n{_DRAFT}</Think>\n{_BLOCK}",
    "an attribute": f'<think mode="long">\n{_DRAFT}</think>\n{_BLOCK}',
    "square": f"[THINK]\n{_DRAFT}[/THINK]{_BLOCK}",
    "seed": f"<seed:think>\n{_DRAFT}</seed:think>\n{_BLOCK}",
    "reflection inside": f"<thinking>\n<reflection>no</reflection>\n{_DRAFT}</thinking>\n<output>\n{_BLOCK}</output>",
    "begin of thought": f"<|begin_of_thought|>\n{_DRAFT}<|end_of_thought|>\n<|begin_of_solution|>\n{_BLOCK}",
    "start thinking": f"<|START_THINKING|>{_DRAFT}<|END_THINKING|><|START_RESPONSE|>\n{_BLOCK}<|END_RESPONSE|>",
    "triangles": f"◁think▷\n{_DRAFT}◁/think▷\n{_BLOCK}",
    "after the answer": f"{_BLOCK}<think>\n{_DRAFT}</think>\n",
    "closed by another name": f"<think>\n{_DRAFT}</thinking>\n{_BLOCK}",
    "a tag in a string of the draft": f"<think>\n```python\nx = '</think>'\n```\n{_DRAFT}</think>\n{_BLOCK}",
    "a tag in backticks": f"<think>The tag `</think>` ends it.\n{_DRAFT}</think>\n{_BLOCK}I wrote no `<think>`.",
    "a tag in a sentence": f"<think>\n{_DRAFT}</think>\n{_BLOCK}Beside <think> there is </think> too.",
    "tags of the answer end it": f"<think>\n{_DRAFT}\n<answer>\n{_BLOCK}</answer>\n",
    "glued": f"<think>\n{_DRAFT.strip()}</think>{_BLOCK}",
    "a name of two words": f"{_BLOCK}<thinking_process>\n{_DRAFT}</thinking_process>\n",
    "a maker's own name": f"<longcat_think>\n{_DRAFT}</longcat_think>\n{_BLOCK}",
    "numbered tokens": f"<unused94>thought\n{_DRAFT}<unused95>{_BLOCK}",
    "a channel's ends": f"{_BLOCK}<|channel>thought\n{_DRAFT}<channel|>\n",
    "a prefix": f"{_BLOCK}<|inner_prefix|>\n{_DRAFT}<|inner_suffix|>\n",
    "harmony": (
        f"<|channel|>analysis<|message|>{_DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{_BLOCK}<|return|>"
    ),
    "harmony without its tokens": f"analysisWe need f.\n{_DRAFT}assistantfinal{_BLOCK}",
}
LEFT_BY_SERVING = {
    "behind the fence": f"```python\n{F}```<|im_end|>",
    "behind the code": f"```python\n{F}<|im_end|>",
    "another turn": f"{_BLOCK}<|im_end|>\n<|im_start|>user\nNow wrong:\n{_DRAFT}",
    "the turn's head": f"<|im_start|>assistant\n{_BLOCK}",
    "end of a sequence": f"{F}</s>",
    "end of text": f"{F}<|endoftext|>def f(x): return 0",
    "eot": f"{_BLOCK}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n{_DRAFT}",
    "byte order mark": f"\ufeff{F}",
    "byte order mark in a block": f"```python\n\ufeff{F}```",
    "blanks that are no spaces": f"```python\n{F.replace('    ', chr(0xA0) * 4)}```",
    "zero width": f"```python\n{F.replace('return', 'return' + chr(0x200B))}```",
}
FENCES = {
    **{
        f"info {info}": f"```{info}\n{F}```"
        for info in [
            *(
                "python3.11",
                "py",
                "py3",
                "Python",
                "PYTHON",
                "python-3.11",
                'python title="x"',
                "{.python}",
                "{python}",
            ),
            *("text", "code", "plaintext", "", " python", "python {linenos=true}", "python:f.py", "f.py", "tool_code"),
            *("python, editable", "{.python .numberLines}", "ipython3", "python showLineNumbers", "java"),
        ]
    },
    "prose behind the closing fence": f"```python\n{F}``` This adds one.\nDone.",
    "one word behind it": f"```python\n{F}```Done.\n",
    "longer": f"````python\n{F}````",
    "longer, closed by a shorter one": f"````python\n{F}```\nDone.",
    "closed by a longer one": f"```python\n{F}````\nDone.",
    "markdown in a longer one": f"````markdown\n# f\n```python\n{F}```\n````",
    "tildes around backticks": f"~~~python\n{F}~~~\n```\n3\n```",
    "in a list": "- Write:\n\n    ```python\n    def f(x):\n        return x + 1\n    ```\n- Done",
    "on the list's line": "- ```python\n  def f(x):\n      return x + 1\n  ```",
    "quoted": "> ```python\n> def f(x):\n>     return x + 1\n> ```\n",
    "code on the fence's line": "```python def f(x):\n    return x + 1\n```",
    "code on the fence's line, no language": "```def f(x):\n    return x + 1\n```",
    "a fence without language in a line of text": f"Answer: ```\n{F}```",
    "unclosed": f"Here:\n```python\n{F}",
    "prompts": "```pycon\n>>> def f(x):\n...     return x + 1\n```",
}


@pytest.mark.parametrize("text", [pytest.param(text, id=f"{name}") for name, text in REASONING.items()])
def test_an_answer_is_what_is_not_reasoning(text: str) -> None:
    assert extract_code(text, "f") == F
    assert extract_code(text.replace("\n", "\r\n"), "f") == F


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in LEFT_BY_SERVING.items()])
def test_what_serving_leaves_behind_is_no_code(text: str) -> None:
    assert extract_code(text, "f") == F


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in FENCES.items()])
def test_fences_as_models_write_them(text: str) -> None:
    assert extract_code(text, "f") == F


@pytest.mark.parametrize(
    "text",
    [
        f"Let me see.\n{_DRAFT}</think>\n",
        f"<thinking>\n{_DRAFT}",
        f"<|channel|>analysis<|message|>{_DRAFT}",
        f"<|im_start|>assistant\n<think>\n{_DRAFT}",
    ],
)
def test_an_answer_cut_in_its_reasoning_has_no_program(text: str) -> None:
    assert extract_code(text, "f") is None


_FENCES_IN_CODE = [
    f'def f(x):\n    """One.\n\n    {_TICKS}\n    {_TICKS}\n    {_TICKS}sh\n    {_TICKS}\n    """\n    return 1\n',
    f"def f(x):\n    y = x\n    # It ends with {_TICKS}\n    return y\n",
    f"OPEN = '{_TICKS}python'\n\n\ndef f(x):\n    shut = '{_TICKS}'\n    return OPEN + x + shut\n",
]


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    return re.sub(r'<think>.*?</think>', '', x)\n",
        'TAG = "</think>"\n\n\ndef f(x):\n    return x.split(TAG)[-1]\n',
        'def f(x):\n    """Cut <think> ... </think>.\n\n    </think>\n    """\n    return x\n',
        "def f(x):\n    return x  # what stands after </think>\n",
        "def f(x):\n    return x.replace('<|im_end|>', '').replace('</s>', '<|channel|>final<|message|>')\n",
        f'def f(x):\n    """Add one.\n\n    {_TICKS}python\n    f(1)  # 2\n    {_TICKS}\n    """\n    return x + 1\n',
        f"def f(x):\n    return '''\n{_TICKS}python\n{{x}}\n{_TICKS}\n'''\n",
        f'P = """\n{_TICKS}python\ndef f(x):\n    return 0\n{_TICKS}\n"""\n\n\ndef f(x):\n    return P + x\n',
        *_FENCES_IN_CODE,
        f"def f(x):\n    return x.startswith('{_TICKS}') or x.endswith(\"{_TICKS}\")\n",
    ],
)
@pytest.mark.parametrize(
    "form", ["{}", "```python\n{}```", "Here:\n\n```\n{}```\nIt works.", "Hm.\n</think>\n```py\n{}```<|im_end|>"]
)
def test_tags_and_fences_in_strings_and_comments_are_code(form: str, code: str) -> None:
    assert extract_code(form.format(code), "f") == code


@pytest.mark.parametrize(
    "code",
    [
        *_FENCES_IN_CODE,
        f"P = '''\n{_TICKS}python\ndef f(x):\n    return 0\n{_TICKS}\n'''\n\n\ndef f(x):\n    return P + x\n",
    ],
)
def test_fences_in_strings_end_no_answer_that_begins_behind_its_fence(code: str) -> None:
    assert extract_code(f"{code}```\n\nIt works:\n```python\nf(1)\n```\n", "f") == code


_WRONG = "def f(x):\n    return x\n"
_G = "def g(x):\n    return math.floor(x)\n"
SEVERAL = {
    "corrected": (f"```python\n{_WRONG}```\nWait:\n```python\n{F}```", F),
    "corrected in plain text": (f"{_WRONG}\nWait, that is wrong. Corrected:\n\n{F}\nDone.", F),
    "corrected in an untagged block": (f"```python\n{_WRONG}```\nWait:\n```\n{F}```", F),
    "a stub behind it": (f"```python\n{F}```\nIn short:\n```python\ndef f(x):\n    ...\n```", F),
    "not implemented behind it": (
        f"{_BLOCK}```python\ndef f(x):\n    '''Do.'''\n    raise NotImplementedError('f')\n```",
        F,
    ),
    "a sketch behind it": (f"{_BLOCK}```python\ndef f(x):\n    ...\n    return x\n```", F),
    "broken behind it": (f"{_BLOCK}Or:\n```python\ndef f(x:\n    return\n```", F),
    "cut behind it": (f"{_BLOCK}Or:\n```python\ndef f(x):\n    return (x +", F),
    "imported behind it": (f"{_BLOCK}Use:\n```python\nfrom solution import f\n\nprint(f(2))\n```", F),
    "assigned behind it": (f"{_BLOCK}```python\nf = f(2)\nassert f == 3\n```", F),
    "tests behind it": (f"{_BLOCK}```python\nassert f(1) == 2\n```\n```python\ndef test_f():\n    f(1)\n```", F),
    "a helper of the earlier version": (
        f"```python\nimport math\n{_G}{_WRONG}```\nCorrected:\n```python\ndef f(x):\n    return g(x) + 1\n```",
        f"import math\n{_G}{_WRONG}\n\ndef f(x):\n    return g(x) + 1\n",
    ),
    "names of a module of the earlier version": (
        f"```python\nfrom math import *\n{_WRONG}```\nCorrected:\n```python\ndef f(x):\n    return floor(x) + 1\n```",
        f"from math import *\n{_WRONG}\n\ndef f(x):\n    return floor(x) + 1\n",
    ),
    "an import from the future in the later block": (
        (
            f"```python\n{_G}{_WRONG}```\nCorrected:\n"
            "```python\nfrom __future__ import annotations\ndef f(x):\n    return g(x) + 1\n```"
        ),
        f"from __future__ import annotations\n{_G}{_WRONG}\n\npass\ndef f(x):\n    return g(x) + 1\n",
    ),
    "a lambda": (
        "```python\nf = lambda x: x\n```\nThen:\n```python\nf = lambda x: x + 1\n```",
        "f = lambda x: x + 1\n",
    ),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_of_several_definitions_the_last_complete_one_is_the_answer(name: str) -> None:
    text, program = SEVERAL[name]

    assert extract_code(text, "f") == program


@pytest.mark.parametrize("name", ANSWERS)
def test_the_program_in_an_answer(name: str) -> None:
    text, program = ANSWERS[name]

    assert extract_code(text, "f") == program


_MATCHING = (
    "match input().split():\n    case [a, *more]:\n        print(a, more)\n"
    "    case {'x': x, **rest} as whole:\n        print(x, rest, whole)\n"
)


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\nn = int(input())\nprint(n)\n```\nInput:\n```\n3\n```", "n = int(input())\nprint(n)\n"),
        ("```python\nx = 1\n```\nAll:\n```python\nx = 1\ny = 2\nprint(x, y)\n```", "x = 1\ny = 2\nprint(x, y)\n"),
        (
            "```python\nn = int(input())\nprint(n)\nprint(0)\n```\nShorter:\n```python\nprint(int(input()) + 1)\n```",
            "print(int(input()) + 1)\n",
        ),
        (
            "```python\nn = int(input())\nprint(n)\n```\nHere:\n```python\nn = int(input())\n```\nTry:\n```\n3\n```",
            "n = int(input())\nprint(n)\n",
        ),
        ("n = int(input())\nprint(n)", "n = int(input())\nprint(n)\n"),
        (f"```python\nprint(input())\n```\nWait:\n```python\n{_MATCHING}```", _MATCHING),
        ("Answer", None),
        ("42", None),
    ],
)
@pytest.mark.parametrize("entry_point", [None, ""])
def test_a_script_has_no_entry_point(text: str, program: str | None, entry_point: str | None) -> None:
    assert extract_code(text, entry_point) == program


@pytest.mark.parametrize(
    "code", ["x = " + "(" * 5000, ">>>", "a\0b = 1", "x = '\\d'\n" + "-" * 100_000 + "1", "f" * 100_000]
)
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
