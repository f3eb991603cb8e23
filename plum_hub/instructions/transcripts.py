"""Recognise conversations that are kept as one text, and find the task in the prompt of a chat template.

Templates mark their turns by tokens, such as `<|im_start|>assistant` or `<｜Assistant｜>`; people by labels at the
beginning of a line, such as `### Response:` or `Answer:`. A label that tasks use too, such as `Output:`, counts only
where a program stands behind it.
"""

import re

_SERIALIZED = re.compile(
    r"""[\s\ufeff"'\\]{0,9} (?:array\(|[\[({]) [\s\[({"'\\]{0,9}["'] \w+ ["'\\]+ \s*:
    (?= .* ["'] (?:role|from) ["'\\]+ \s*:\s* ["'\\]+ (?:system|developer|user|human|assistant|gpt)\b )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
"""The beginning of turns as JSON or a Python `repr`, cut short or in quotes though it may be."""

_TOKEN = r"<[|｜][^|｜<>\n]{1,40}[|｜]>"
_END = rf"(?: {_TOKEN} | </?s> | <end_of_turn> )"
_MODEL = rf"""(?:
    <[|｜](?:\w*_)?(?:assistant|chatbot|bot|model)(?:_\w*)?[|｜]>
    | {_TOKEN} assistant \b | <start_of_turn>model | \[/INST\] | <\|end_of_turn\|> [\w\ ]{{0,20}} Assistant:
)"""
_BEHIND = rf"(?: \s | {_END} | (?:assistant|final|analysis|commentary) (?={_TOKEN}) )"
"""What may stand between a mark and the text of its turn."""
_ANSWERED = re.compile(rf"{_MODEL} {_BEHIND}*+ \S", re.VERBOSE | re.IGNORECASE)
_ASKED = re.compile(
    rf"""(?: <[|｜](?:\w*_)?(?:user|prompter)(?:_\w*)?[|｜]> (?:user(?={_TOKEN}))? | {_TOKEN} user \b
        | <start_of_turn>user | \[INST\] | \A\s* Human: ) (?: {_END} )*+""",
    re.VERBOSE | re.IGNORECASE,
)
_ASKED_END = re.compile(rf"{_END} | \[/INST\] | ^Assistant: (?=\s*\Z)", re.VERBOSE | re.IGNORECASE | re.MULTILINE)
_NOTHING = re.compile(rf"(?: {_MODEL} | {_BEHIND} | Assistant: )*+", re.VERBOSE | re.IGNORECASE)

_LABELLED = re.compile(
    r"""
    (?:(?!\#\#\#\ Instruction:).)* \#\#\#\ Instruction:\s .* ^\#\#\#\ Response:\s*[^\s<]
    | (?:(?!@@\ Instruction).)* @@\ Instruction\s .* ^@@\ Response\s*[^\s<]
    | \s* (?:\#+\ *|\*\*|<)? (?:human|user) (?:\*\*|>)? :
      .* ^[\ \t]* (?:\#+\ *|\*\*|<)? (?:assistant|ai|gpt|bot|model) (?:\*\*|>)? : \s* [^\s<]
    | \s* \#\#\#\ *(?:human|user|instruction) : .* \#\#\#\ *(?:assistant|gpt|bot|response) : \s* [^\s<]
    | (?:\s*\[Round\ \d+\])? \s* 问[:：] .* ^答[:：] \s* \S
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
_USER, _ASSISTANT = re.compile(r"\bUSER:"), re.compile(r"\bASSISTANT:\s*[^\s<]")
_TASK_LABEL = re.compile(
    r"""\s* [\#@*<\[]{0,4} \ * (?:instruct(?:ion)?|question|problem|prompt|input|task|query|exercise|request|user
    |human|q) \b [\w\ ]{0,20} [*>\]\ ]{0,4} (?::|$) | .{0,400}? ^\#\#\#\ Instruction:""",
    re.VERBOSE | re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
_PROGRAM_LABEL = re.compile(
    r"""^[\ \t]* [\#@*<\[]{0,4} \ * (?:response|answer|solution|completion|output|assistant|bot|code|a)
    [*>\]\ ]{0,4} (?::|$) [*\ ]*
    (?: \s* (?:[^\n]{0,200}:\s*\n)? \s* (?:```[^\n]*\n\s*)? (?:\#[^\n]*\n\s*)*+
        (?: (?:async\ )?def\ \w | class\ \w | import\ \w | from\ [\w.]+\ import\b | print\( | @\w+\n )
      | \s*?\n \s*+ (?: [\w.,\ ]+\ =\ \S | (?:for|while|if|with|try)\b[^\n]*:\s*$ ) )""",
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)


def is_transcript(text: str) -> bool:
    """Tell whether a text is a conversation, answers and all, rather than a task.

    Args:
        text: A text that `read_turns` does not take for turns.

    Returns:
        True if it begins like serialized turns, or marks a person's turn and the answer to it.
    """
    if _SERIALIZED.match(text) or _ANSWERED.search(text) or _LABELLED.match(text):
        return True
    if (user := _USER.search(text)) and _ASSISTANT.search(text, user.end()):
        return True
    return _TASK_LABEL.match(text) is not None and _PROGRAM_LABEL.search(text) is not None


def asked_in(text: str) -> str:
    """Return the task of a prompt that was rendered for a model, without the marks of its chat template.

    Args:
        text: A text that is no transcript.

    Returns:
        The user's text; the text as it is where it is not one user's turn, with marks and nothing else behind it.
    """
    asked = list(_ASKED.finditer(text))
    if len(asked) != 1:
        return text
    begin = asked[0].end()
    end = _ASKED_END.search(text, begin)
    if end is None or not _NOTHING.fullmatch(text, end.start() if end[0].lower() != "[/inst]" else end.end()):
        return text
    return text[begin : end.start()].rpartition("<</SYS>>")[2].strip()
