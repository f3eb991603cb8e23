"""Conversations in one text, by the marks of chat templates and the labels that people write, and prompts in marks."""

import time
from pathlib import Path

import pytest

from plum_hub.instructions.transcripts import asked_in, is_transcript
from tests.instructions.reading import ADD, reasons, walk, write_lines

ANSWER = "```python\ndef add(a, b):\n    return a + b\n```"
PREAMBLE = "Below is an instruction that describes a task, paired with an input.\n\n"


@pytest.mark.parametrize("answer", [ANSWER, "def add(a, b):\n    return a + b", f"Here it is:\n\n{ANSWER}"])
@pytest.mark.parametrize(
    "text",
    [
        PREAMBLE + "### Instruction:\n{}\n\n### Input:\n\n\n### Output:\n{}",
        "### Question:\n{}\n\n### Answer:\n{}",
        "## Problem\n{}\n\n## Solution\n{}",
        "**Question**: {}\n**Answer**: {}",
        "### Prompt:\n{}\n\n### Completion:\n{}",
        "### Input:\n{}\n\n### Output:\n{}",
        "Instruction: {}\nResponse: {}",
        "Question: {}\nAnswer: {}",
        "Instruct: {}\nOutput: {}",
        "Q: {}\nA: {}",
        "<human>: {}\n<bot>: {}",
        "@@ Instruction\n{}\n\n@@ Response\n{}",
        "You are a programmer.\n\n@@ Instruction\n{}\n\n@@ Response\n{}",
        "[Round 1]\n\n问：{}\n\n答：{}",
        "<｜begin▁of▁sentence｜><｜User｜>{}<｜Assistant｜>{}",
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>{}<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{}",
        "<|start|>user<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>",
        "<|header_start|>user<|header_end|>\n\n{}<|eot|><|header_start|>assistant<|header_end|>\n\n{}",
        "<|start_of_role|>user<|end_of_role|>{}<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>{}",
        "<|im_user|>user<|im_middle|>{}<|im_end|><|im_assistant|>assistant<|im_middle|>{}",
        "GPT4 Correct User: {}<|end_of_turn|>GPT4 Correct Assistant: {}",
        "<|prompter|>{}<|endoftext|><|assistant|>{}<|endoftext|>",
        "<｜User｜>{}<｜Assistant｜><think>\nI add.\n</think>\n{}",
    ],
)
def test_an_answer_behind_its_mark_is_no_part_of_a_task(tmp_path: Path, text: str, answer: str) -> None:
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", [{"text": text.format(ADD, answer)}]))
    assert (kept, reasons(drops)) == ([], {"unreadable_turns": 1})


@pytest.mark.parametrize("behind", ["x = [1, 2]\nprint(sum(x))", "for x in range(3):\n    print(x)", "import os"])
def test_a_script_behind_its_mark_is_an_answer(behind: str) -> None:
    assert is_transcript(f"{PREAMBLE}### Instruction:\n{ADD}\n\n### Input:\n\n\n### Output:\n{behind}")


@pytest.mark.parametrize(
    "text",
    [
        "### Instruction:\n{}\n\n### Output:\n",
        (
            "### Question:\n{}\n\n### Format: Use this starter code.\n```python\nclass Solution:\n    pass\n```\n\n"
            "### Answer: (use the provided format with backticks)\n\n"
        ),
        "Problem: {}\nInput: 1 2\nOutput: 3\n\n```python\ndef add(a, b):\n    pass\n```",
        "## Problem\n{}\n\n## Output\nPrint the sum.\n\n### Examples\n```\n1 2\n```\nOutput:\n```\n3\n```",
        "Question: {}\nAnswer: in one line.",
        "{}\n\nOutput:\nimport of a module is not allowed",
        "{} It answers what stands behind <|assistant|>",
        "Explain nothing. {}\n\nSolution:\ndef add(a, b):",
        "Question: {}\n\nSolution:\nclass Sum:\n    def add(a, b):\n        # TODO\n    def all(s):\n        # TODO\n",
        "Question: {}\n\nAnswer:\n```python\ndef add(a, b):\n# add here\n    pass\n```",
        "Task: {} Mend this.\n\nCode:\ndef add(a, b):\n    return a - b",
        "{} It counts <|assistant|> and what stands behind <|user|>.",
        "{} It returns f'<s>[INST] {{q}} [/INST] {{a}} </s>'",
        "{} The text looks like this:\n\nUSER: hello\nASSISTANT: hi there\n\nReturn pairs.",
    ],
)
def test_a_label_that_tasks_use_is_no_mark_of_an_answer(tmp_path: Path, text: str) -> None:
    assert [row.text for row in walk(write_lines(tmp_path / "t.jsonl", [{"text": text.format(ADD)}]))[0]] == [
        text.format(ADD).strip()
    ]


@pytest.mark.parametrize(
    "text",
    [
        "\n\nHuman: {}\n\nAssistant: ",
        "<|im_start|>system\nBe helpful.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>user\n{}<|im_end|>",
        "<s>[INST] {} [/INST]",
        "[INST] <<SYS>>\nBe helpful.\n<</SYS>>\n\n{} [/INST] ",
        (
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
        "<|user|>\n{}</s>\n<|assistant|>\n",
        "<bos><start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n",
        "<｜begin▁of▁sentence｜><｜User｜>{}<｜Assistant｜>",
        "<|start|>system<|message|>You are.<|end|><|start|>user<|message|>{}<|end|><|start|>assistant",
        "<|im_user|>user<|im_middle|>{}<|im_end|><|im_assistant|>assistant<|im_middle|>",
        "<|prompter|>{}<|endoftext|><|assistant|>",
    ],
)
@pytest.mark.parametrize("column", ["prompt", "text"])
def test_the_marks_around_a_prompt_are_no_part_of_the_task(tmp_path: Path, text: str, column: str) -> None:
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", [{column: text.format(ADD)}]))
    assert ([row.text for row in kept], drops) == ([ADD], [])


@pytest.mark.parametrize("key", ["output", "Response", "solution"])
def test_a_program_behind_a_label_is_part_of_a_task_whose_answer_has_a_column(tmp_path: Path, key: str) -> None:
    text = f"Task: {ADD} It replaces this one.\n\nOutput:\ndef add(a, b):\n    return a - b"
    rows = [{"prompt": text, key: answer} for answer in (ANSWER, "", "def add(a, b):\n    return a - b\n")]
    kept, drops = walk(write_lines(tmp_path / "t.jsonl", rows))
    assert ([(row.row, row.text) for row in kept], reasons(drops)) == ([("1", text)], {"unreadable_turns": 2})


@pytest.mark.parametrize("begin", ["", "\n ", "You are a helpful assistant.\n", "A chat between a user and a bot. "])
def test_a_system_prompt_without_a_mark_begins_a_conversation(begin: str) -> None:
    assert asked_in(f"{begin}<|user|>\n{ADD}<|end|>\n<|assistant|>\n") == ADD
    assert is_transcript(f"{begin}<|user|>\n{ADD}<|end|>\n<|assistant|>\n{ANSWER}")
    assert is_transcript(f"{begin}USER: {ADD} ASSISTANT: {ANSWER}")


@pytest.mark.parametrize("begin", ["", "Question: a\n", "Question: a\nAnswer:", "Question: a\nOutput:\nfoo:", "<s>"])
@pytest.mark.parametrize("run", [" ", "\n", " \n", "\t", "#", "# x\n", "[INST]", "\nAnswer:", "```\n"])
def test_a_long_run_takes_time_in_proportion(begin: str, run: str) -> None:
    text, before = begin + run * (20_000 // len(run)) + "x", time.process_time()
    is_transcript(text)
    asked_in(text)
    assert time.process_time() - before < 2


@pytest.mark.parametrize(
    "text",
    [
        "{} End it by </s>",
        "{} Skip [INST] and what is behind it.",
        "Human: {}",
        "{} In a prompt of Llama 2 it finds [INST] and returns the text from there to the first [/INST]",
        "{} It removes every <|user|> tag, and everything behind the first <|end|>",
    ],
)
def test_a_task_about_marks_keeps_them(tmp_path: Path, text: str) -> None:
    kept, _ = walk(write_lines(tmp_path / "t.jsonl", [{"prompt": text.format(ADD)}]))
    assert [row.text for row in kept] == [text.format(ADD)]
