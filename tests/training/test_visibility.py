"""What a chat template does not render of a row: it is named, or the row is left out."""

import json
from pathlib import Path
from typing import Any

import pytest

from plum_hub.errors import TrainingError
from plum_hub.training.lengths import FittingRows, fitting_rows
from plum_hub.training.visibility import LOST, NOT_SHOWN

BARE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FULL = (
    "{% if tools %}tools: {{ tools | tojson }}\n{% endif %}{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m.reasoning_content and loop.last %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{{ m.content }}{% for c in m.tool_calls or [] %}call: {{ c.function | tojson }}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CALLS_ALONE = FULL.replace("{{ m.content }}{% for", "{% if not m.tool_calls %}{{ m.content }}{% endif %}{% for")
NO_RESULTS = BARE.replace("in messages %}", "in messages if m.role != 'tool' %}")
FIRST_ONLY = BARE.replace("{{ m['content'] }}", "{% if m.role == 'user' or loop.last %}{{ m['content'] }}{% endif %}")
NO_SYSTEM = BARE.replace("in messages %}", "in messages if m.role != 'system' %}")
ESCAPED = BARE.replace("{{ m['content'] }}", "{{ m['content'] | tojson }}")
CLEANED = BARE.replace("{{ m['content'] }}", "{{ m['content'] | replace('</s>', '') }}")

R1 = BARE.replace(
    "{{ m['content'] }}", "{{ m['content'].split('</think>')[-1] if m.role == 'assistant' else m['content'] }}"
)
QWEN3 = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if '</think>' in m.content and loop.last %}<think>\n"
    "{{ m.content.split('</think>')[0].split('<think>')[-1].strip() }}\n</think>\n\n{% endif %}"
    "{{ m.content.split('</think>')[-1].lstrip('\n') }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

TOOL = {"type": "function", "function": {"name": "run", "parameters": {"type": "object"}}}
CALL = {"type": "function", "function": {"name": "run", "arguments": {"code": "1"}}}
ASKED, ANSWERED = {"role": "user", "content": "add 1"}, {"role": "assistant", "content": "a + 1"}
CALLING = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "2"}
ALOUD = ANSWERED | {"content": "<think>\none more\n</think>\n\na + 1"}
THINKING = ANSWERED | {"reasoning_content": "one more"}


def fitted(tiny: Path, template: str, *rows: dict[str, Any]) -> FittingRows:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.chat_template = template
    given = [row | {"row": str(number), "instruction_id": str(number)} for number, row in enumerate(rows)]
    return fitting_rows(given, tokenizer, 4000)


def row(form: str, asked: list[Any], answer: list[Any], **more: Any) -> dict[str, Any]:
    if form == "messages":
        return {"messages": [*asked, *answer], **more}
    if form == "pair":
        return {"prompt": asked, "chosen": answer, "rejected": [ANSWERED], **more}
    return {"prompt": asked, "completion": answer, **more}


@pytest.mark.parametrize("form", ["messages", "completion", "pair"])
@pytest.mark.parametrize(
    ("template", "asked", "answer", "reason"),
    [
        (BARE, [ASKED], [CALLING], LOST),
        (BARE, [ASKED, CALLING, RESULT], [ANSWERED], LOST),
        (NO_RESULTS, [ASKED, ANSWERED, RESULT], [ANSWERED], LOST),
        (FIRST_ONLY, [ASKED, ANSWERED, ASKED], [ANSWERED], LOST),
        (NO_SYSTEM, [{"role": "system", "content": "code"}, {"role": "user", "content": "write code"}], [ANSWERED],
         NOT_SHOWN),
        (NO_SYSTEM, [{"role": "system", "content": "u"}, ASKED], [ANSWERED], NOT_SHOWN),
    ],
)  # fmt: skip
def test_a_row_of_which_a_turn_is_not_rendered_is_left_out(
    tiny: Path, form: str, template: str, asked: list[Any], answer: list[Any], reason: str
) -> None:
    found = fitted(tiny, template, row(form, asked, answer), row(form, [ASKED], [ANSWERED]))
    assert (dict(found.left_out), found.unseen) == ({reason: 1}, ())
    assert [one["row"] for one in found.rows] == ["1"]
    with pytest.raises(TrainingError, match=reason):
        fitted(tiny, template, row(form, asked, answer))


@pytest.mark.parametrize("form", ["messages", "completion", "pair"])
@pytest.mark.parametrize(
    ("template", "answer", "tools", "unseen"),
    [
        (BARE, [ANSWERED], [TOOL], ("tools",)),
        (BARE, [THINKING], None, ("reasoning_content",)),
        (BARE, [ANSWERED | {"thinking": "one more"}], [TOOL], ("thinking", "tools")),
        (CALLS_ALONE, [CALLING | {"content": "Let me look."}], [TOOL], ("content beside tool_calls",)),
        (R1, [ALOUD], [TOOL], ("thoughts in content", "tools")),
        (R1, [ANSWERED, ASKED, ALOUD], None, ("thoughts in content",)),
        (R1, [ALOUD, ASKED, ANSWERED], None, ()),
        (QWEN3, [ALOUD], None, ()),
        (BARE, [ALOUD], None, ()),
        (FULL, [CALLING], [TOOL], ()),
        (FULL, [THINKING], [TOOL], ()),
        (FULL, [CALLING, RESULT, ANSWERED], [TOOL], ()),
        (FULL, [THINKING, ASKED, THINKING], None, ()),
    ],
)
def test_what_else_is_not_rendered_is_named(
    tiny: Path, form: str, template: str, answer: list[Any], tools: list[Any] | None, unseen: tuple[str, ...]
) -> None:
    more = {"tools": json.dumps(tools)} if tools else {}
    found = fitted(tiny, template, row(form, [ASKED], answer, **more))
    assert (dict(found.left_out), found.unseen) == ({}, unseen)


@pytest.mark.parametrize("form", ["messages", "completion"])
@pytest.mark.parametrize(
    ("template", "text"), [(ESCAPED, 'say "a"\nand <b>'), (CLEANED, "what is </s>?"), (BARE, "a "), (FULL, " ")]
)
def test_a_turn_of_which_something_is_rendered_is_no_hidden_one(
    tiny: Path, form: str, template: str, text: str
) -> None:
    found = fitted(tiny, template, row(form, [{"role": "user", "content": text}], [ANSWERED]))
    assert (dict(found.left_out), len(found.rows)) == ({}, 1)


def test_an_answer_that_thinks_aloud_is_of_another_shape(tiny: Path) -> None:
    found = fitted(tiny, R1, row("messages", [ASKED], [ANSWERED]), row("messages", [ASKED], [ALOUD]))
    assert found.unseen == ("thoughts in content",)


def test_conversations_of_one_shape_are_looked_at_once(tiny: Path) -> None:
    blank, told = ({"role": "system", "content": text} for text in (" ", "Be short."))
    rows = [row("messages", [first, ASKED], [ANSWERED]) for first in (blank, told, blank, told)]
    found = fitted(tiny, NO_SYSTEM, *rows)
    assert [one["row"] for one in found.rows] == ["0", "2"]
