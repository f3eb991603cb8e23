import gzip
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

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
    "a difference with blanks": (
        "```diff\n- def f(x):\n-     return x\n+ def f(x):\n+     return x + 1\n```",
        F,
    ),
    "only added lines": ("```python\n+def f(x):\n+    return x + 1\n```", F),
    "commands of a notebook": (f"```python\n%matplotlib inline\n!pip install x\n{F}```", f"\n\n{F}"),
    "an installation before the code": (f"```python\npip install x\n\n{F}```", f"\n\n{F}"),
    "prose in a closed fence": (f"```python\nSure! Here is the code:\n\n{F}\nThis adds one.\n```", F),
    "prose in a fence beside a whole program": (
        f"```python\n{F}```\n```\nHere is the old one:\ndef f(x):\n    return x\n```",
        F,
    ),
    "a fence that is begun to be closed": (f"```python\n{F}``", F),
    "annotations that are prose": (
        f"### Code\n\n{F}\n### Complexity\n\nTime: O(1)\nSpace: O(1)\n",
        f"### Code\n\n{F}\n### Complexity\n",
    ),
    "annotations that are prose, in a fence": (f"```python\nAnswer: code\n{F}\nNote: done\n```", F),
    "annotations of a program": (f"{F}\nlimit: int\n", f"{F}\nlimit: int\n"),
    "a mark between two programs": (f"[BEGIN]\n{F}[DONE]\n\n[BEGIN]\ndef f(x):\n    return x\n[DONE]\n", F),
    "a mark before the next task": (
        f"[BEGIN]\n{F}[DONE]\n\nNow write one more.\n[BEGIN]\ndef f(x):\n    return x\n[DONE]\n",
        F,
    ),
    "a name that a star may import": (
        f"from m import *\ndef g(x):\n    return x\nlimit\n{F}",
        f"from m import *\ndef g(x):\n    return x\nlimit\n{F}",
    ),
    "escaped line ends": ("def f(x):\\n    return x + 1", F),
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
    "marks without bars": f"<START_THINKING>\n{_DRAFT}<END_THINKING>\n{_BLOCK}",
    "marks of another name": f"{_BLOCK}<|thought|>\n{_DRAFT}<|/thought|>",
    "the other order": f"{_BLOCK}<|reasoning_start|>\n{_DRAFT}<|reasoning_end|>",
    "full-width bars": f"{_BLOCK}<｜think｜>\n{_DRAFT}<｜/think｜>",
    "a closing mark only": f"{_DRAFT}<|end_of_reasoning|>\n{_BLOCK}",
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


_ADD = "def f(a, b):\n    return a + b\n"
_SECOND = {
    "the rest": (
        "To log calls:",
        "def f(a, b):\n    print('x')\n    # ... rest of the function stays the same\n",
    ),
    "existing code": ("With a check:", "def f(a, b):\n    assert a\n    # existing code ...\n"),
    "unchanged": ("With a check:", "def f(a, b):\n    if not a:\n        return b\n    # unchanged\n"),
    "as before": ("With a check:", "def f(a, b):\n    assert a\n    # (same as before)\n"),
    "a value left out": ("In outline:", "def f(a, b):\n    result = ...\n    return result\n"),
    "one argument more": ("For three numbers:", "def f(a, b, c):\n    return a + b + c\n"),
    "an argument by name": ("With a sign:", "def f(a, b, *, sign):\n    return sign * (a + b)\n"),
    "curried": ("Curried:", "def f(a):\n    return lambda b: a + b\n"),
    "none": ("Interactive version:", "def f():\n    return int(input()) + int(input())\n"),
    "async": ("Async version:", "async def f(a, b):\n    return a + b\n"),
    "a generator": ("As a generator:", "def f(a, b):\n    yield a + b\n"),
    "a class": ("As a class:", "class f:\n    def go(self, a, b):\n        return a + b\n"),
    "prints": ("To print instead of returning:", "def f(a, b):\n    print(a + b)\n"),
    "a mistake": ("A common mistake is:", "def f(a, b):\n    return a - b\n"),
    "a mistake with words": ("**A common mistake** is to forget b:", "def f(a, b):\n    return a\n"),
    "the original": ("It works. For comparison, your original (buggy) code was:", "def f(a, b):\n    return a - b\n"),
    "the naive way": ("Brute force for comparison (slow):", "def f(a, b):\n    while True: pass\n"),
    "presented": ("Here is a common mistake:", "def f(a, b):\n    return a - b\n"),
    "wrong by its comment": ("", "# Wrong:\ndef f(a, b):\n    return a - b\n"),
    "a counterexample": ("**Counterexample**", "def f(a, b):\n    return a - b\n"),
    "what not to do": ("What not to do:", "def f(a, b):\n    return a - b\n"),
    "wrong in a sentence": ("The following is incorrect.", "def f(a, b):\n    return a - b\n"),
    "erroneous": ("The following code swaps them incorrectly:", "def f(a, b):\n    return a - b\n"),
}


@pytest.mark.parametrize("name", _SECOND)
def test_what_is_shown_beside_the_answer_does_not_replace_it(name: str) -> None:
    said, code = _SECOND[name]
    assert extract_code(f"```python\n{_ADD}```\n{said}\n```python\n{code}```\n", "f") == _ADD


@pytest.mark.parametrize(
    "said",
    [
        *("Wait, the list may be unsorted. Corrected solution:", "The previous version has a bug when a is 0:"),
        *("The bug in the code above is fixed here:", "I made a mistake. Here is the right one:", "Optimized:"),
        *(
            "The naive approach above is slow. Better:",
            "To avoid this mistake, use:",
            "Something went wrong. Again:",
            "Hmm, that's wrong.",
            "I noticed a bug:",
            "",
        ),
    ],
)
def test_what_is_said_to_correct_the_answer_replaces_it(said: str) -> None:
    wrong = "def f(a, b):\n    return a - b\n"
    assert extract_code(f"```python\n{wrong}```\n{said}\n```python\n{_ADD}```\n", "f") == _ADD


def test_what_corrects_the_answer_may_take_other_arguments() -> None:
    three = "def f(a, b, c):\n    return a\n"
    assert extract_code(f"```python\n{_ADD}```\nOops, there are three:\n```python\n{three}```\n", "f") == three
    memo, plain = "def f(n, memo={}):\n    return n\n", "def f(n):\n    return n + 1\n"
    assert extract_code(f"```python\n{memo}```\nWith a loop:\n```python\n{plain}```\n", "f") == plain


def test_the_arguments_of_most_versions_count() -> None:
    other = "```python\ndef f(a, b, times):\n    return times * (a + b)\n```\n"
    assert extract_code(f"{other}Or:\n```python\n{_ADD}```\nOr:\n```python\n{_ADD}```\n", "f") == _ADD


def test_a_part_of_a_class_does_not_replace_it() -> None:
    whole = "class f:\n    def add(self): return 1\n    def sub(self): return 2\n"
    for part in ("# ... existing code ...\n    def sub(self): return 3", "def sub(self): return 3"):
        assert extract_code(f"```python\n{whole}```\nFixed:\n```python\nclass f:\n    {part}\n```\n", "f") == whole
    new = "class f:\n    def add(self): return 1\n    def sub(self): return self._go()\n    def _go(self): return 3\n"
    assert extract_code(f"```python\n{whole}```\nFixed:\n```python\n{new}```\n", "f") == new


@pytest.mark.parametrize(
    ("code", "later"),
    [
        ("def f(a: List[int]):\n    return a\n", "from typing import List\n"),
        ("@cached\ndef f(a):\n    return a\n", "def cached(f):\n    return f\n"),
        ("class f(Base):\n    pass\n", "class Base:\n    pass\n"),
        ("class f:\n    def go(self) -> Num: pass\n", "from typing import Union\nNum = Union[int, float]\n"),
        ("def f(a, k=K):\n    return a + k\n", "K = 0\n"),
        ("def g():\n    return K\n\nX = g()\n\ndef f(a):\n    return a + X\n", "K = 0\n"),
    ],
)
def test_what_a_program_needs_while_it_loads_stands_before_it(code: str, later: str) -> None:
    program = extract_code(f"```python\n{code}```\nwith\n```python\n{later}```\n", "f")
    assert program == f"{later}\n\n{code}"
    exec(program, {})


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
        (
            "```python\ndef go(n):\n    return n * 2\n```\nRead:\n```python\nn = int(input())\nprint(go(n))\n```",
            "def go(n):\n    return n * 2\n\n\nn = int(input())\nprint(go(n))\n",
        ),
        (
            (
                "```python\ndef go(n):\n    return n\n```\nNo:\n```python\ndef go(n):\n    return n * 2\n```\n"
                "```python\nprint(go(int(input())))\n```"
            ),
            "def go(n):\n    return n * 2\n\n\nprint(go(int(input())))\n",
        ),
        (
            "```python\ndef go():\n    print(input())\n```\nCall it:\n```python\nfor _ in range(2):\n    go()\n```",
            "def go():\n    print(input())\n\n\nfor _ in range(2):\n    go()\n",
        ),
        (
            "1. Read:\n```python\nn = int(input())\n```\n2. Print:\n```python\nprint(n * 2)\n```\n```\n3\n```",
            "n = int(input())\n\n\nprint(n * 2)\n",
        ),
        (
            "```python\nn = int(input())\nprint(n)\n```\nA common mistake:\n```python\nn = input()\nprint(n)\n```",
            "n = int(input())\nprint(n)\n",
        ),
        ("Here:\n\nn=int(input())\nprint(n*2)\n\nIt doubles.", "n=int(input())\nprint(n*2)\n"),
        ("Here:\n\na,b=map(int,input().split())\nprint(a+b)\n", "a,b=map(int,input().split())\nprint(a+b)\n"),
        ("For k=3 it is:\n\nk=3\n\nSo:\n\nk=int(input())\nprint(k)\n\nDone.", "k=int(input())\nprint(k)\n"),
        ("In C:\n\n    arr[i] = arr[j];\n    arr[j] = temp;\n", None),
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
    "line",
    [
        *("MOD=10**9+7", "MEMO={}", "x: int = 3", "memo: dict[int, int]={}", "a,b=1,2", "table[0] = 1", "x+=1"),
        *("import sys,os", "import sys as s,os\ns.setrecursionlimit(10**6)", "*a, b = 1, 2"),
    ],
)
def test_code_without_a_fence_begins_with_its_first_line_however_it_is_spaced(line: str) -> None:
    assert extract_code(f"Here is the code:\n\n{line}\n{F}\nThis adds.\n", "f") == f"{line}\n{F}"


@pytest.mark.parametrize("prose", ["This adds one.\nIt's simple.", "**Explanation**: it adds one", "- It adds one"])
def test_prose_behind_a_fence_that_is_not_closed_is_no_code(prose: str) -> None:
    assert extract_code(f"Here:\n```python\n{F}\n{prose}\n", "f") == F


def test_a_function_that_breaks_off_without_a_fence_stays_whole() -> None:
    cut = "def f(x):\n    y = 0\n    for i in x:\n        y += g(i,\n"
    assert extract_code(cut, "f") == cut
    assert extract_code(f"Here:\n\n{cut}\nAgain:\n\n{F}", "f") == F
    assert (
        extract_code(f"{F}\n\ndef test_f():\n    y = f(1)\n    assert (y", "f")
        == f"{F}\n\ndef test_f():\n    y = f(1)\n    assert (y\n"
    )
    assert extract_code("def f(x):\n    x.append(1)\n\n  This adds one.", "f") == "def f(x):\n    x.append(1)\n"


def test_prose_behind_a_fence_that_is_not_closed_is_no_code_where_a_docstring_has_fences() -> None:
    code = _FENCES_IN_CODE[0]
    assert extract_code(f"Here:\n```python\n{code}\n\nThis shows fences.\n", "f") == code


@pytest.mark.parametrize("cut", ["def g(x):\n    return (x +", "print(f(1), f(", "for i in range(", "assert f(1) =="])
def test_code_that_is_cut_stays(cut: str) -> None:
    assert extract_code(f"```python\n{F}\n{cut}", "f") == f"{F}\n{cut}\n"


def test_blanks_in_texts_stay_where_others_are_no_spaces() -> None:
    code = "def f(x):\n    # don't\n    return 'a\u00a0b' + x + \"\u200b\"\n"
    shown = code.replace("    ", "\u00a0" * 4)
    assert extract_code(f"```python\n{shown}```", "f") == code


@pytest.mark.parametrize(
    "code", ["x = " + "(" * 5000, ">>>", "a\0b = 1", "x = '\\d'\n" + "-" * 100_000 + "1", "f" * 100_000]
)
def test_source_that_breaks_the_parser_is_still_the_answer(code: str) -> None:
    assert extract_code(f"```python\n{code}\n```", "f") == code + "\n"


@pytest.mark.parametrize("line", ["def f(x):\n", "x = (\n"])
def test_a_line_that_a_model_repeats_to_its_limit_takes_no_minutes(line: str) -> None:
    begun = time.process_time()
    extract_code(line * 20_000, "f")
    assert time.process_time() - begun < 10  # seconds


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


def test_a_second_version_that_is_cut_does_not_replace_a_whole_one() -> None:
    first = "def has_close(xs, t):\n    return any(abs(a - b) < t for a in xs for b in xs if a is not b)\n"
    second = "def has_close(xs, t):\n    ys = sorted(xs)\n    return any(b - a < t for a, b in zip(ys, ys[1:]))\n"
    whole = f"```python\n{first}```\nOptimized:\n```python\n{second}```\n"
    for end in range(whole.index("Optimized"), len(whole) - len("```\n")):
        assert extract_code(whole[:end], "has_close") == first, whole[:end]
    assert extract_code(whole, "has_close") == second
    assert extract_code(whole[whole.index(second) - len("```python\n") : -len("```\n")], "has_close") == second  # alone


_HELPER = "def g(x):\n    return x + 1\n"
_USES = {
    "a name": "from helper import g\n\n\ndef f(x):\n    return g(x)\n",
    "names in brackets": "from helper import (\n    g,\n)\n\n\ndef f(x):\n    return g(x)\n",
    "another name": "from .helper import g as h\n\n\ndef f(x):\n    return h(x)\n",
    "all names": "from lib.helper import *\n\n\ndef f(x):\n    return g(x)\n",
    "the module": "import helper as the\n\n\ndef f(x):\n    return the.g(x)\n",
}


def _value(text: str, name: str = "f") -> Any:
    scope: dict[str, Any] = {}
    exec(str(extract_code(text, name)), scope)
    return scope[name](1)


@pytest.mark.parametrize("use", _USES)
@pytest.mark.parametrize("order", ["helper.py:\n{0}\nmain.py:\n{1}", "`main.py`\n{1}\n`helper.py`\n{0}"])
def test_an_answer_may_have_several_files(use: str, order: str) -> None:
    tests = "```python\nfrom main import f\n\ndef test_f():\n    assert f(1) == 2\n```\n"
    text = order.format(f"```python\n{_HELPER}```", f"```python\n{_USES[use]}```")

    assert _value(text) == _value(f"{text}\n{tests}") == 2


def test_files_of_an_answer_may_import_one_another() -> None:
    files = [
        "from b import h\ndef g(x):\n    return h(x)\n",
        "from __future__ import annotations\nfrom a import g\nK = 0\ndef f(x: Any) -> Any:\n    return g(x) + K\n",
        "from main import K\ndef h(x):\n    return x\n",
        "def h(x):\n    return x + 1\n",
    ]
    blocks = [f"```python\n{code}```\n" for code in files]

    assert _value("\n".join([*blocks[:2], "b.py, corrected:", blocks[3]])) == 2
    assert "from main import K" in str(extract_code("\n".join(blocks[:3]), "f"))  # in a circle, as in files


@pytest.mark.parametrize("module", ["math", "collections.abc"])
def test_modules_of_python_are_no_files_of_an_answer(module: str) -> None:
    program = f"from {module} import g\n\n\ndef f(x):\n    return g(x)\n"
    assert extract_code(f"```python\n{_HELPER}```\nOr:\n```python\n{program}```\n", "f") == program


def test_a_module_that_exists_is_no_file_of_an_answer() -> None:
    own = "class Draft7Validator:\n    pass\n"
    program = "from jsonschema import Draft7Validator\n\n\ndef f(x):\n    return Draft7Validator.__module__\n"
    assert _value(f"```python\n{own}```\nOr:\n```python\n{program}```\n").startswith("jsonschema")


def test_a_script_in_two_files_is_one_program() -> None:
    program = "from helper import g\n\nprint(g(int(input())))\n"
    found = str(extract_code(f"```python\n{_HELPER}```\n```python\n{program}```\n", None))
    ran = subprocess.run([sys.executable, "-I", "-c", found], input="1\n", capture_output=True, text=True, check=True)
    assert ran.stdout == "2\n"
