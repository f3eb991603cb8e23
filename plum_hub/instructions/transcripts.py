"""Recognise conversations that are kept as one text, and find the task in the prompt of a chat template.

Templates mark their turns by tokens, such as `<|im_start|>assistant` or `<｜Assistant｜>`; people by labels at the
beginning of a line, such as `### Response:` or `Answer:`. Tokens count only in a text that begins with one of them or
with the words of a system prompt: behind a sentence they are what the task is about. A label that tasks use too, such
as `Output:`, counts only where a program stands behind it, which is more than starter code.
"""

import ast
import re
import textwrap

from plum_hub.instructions.cells import parsed

_SERIALIZED = re.compile(
    r"""(?: [^\n\[({"']{1,40} (?:[:=]|\n) (?= .* [\]})]["'\s]* \Z) )?
    b? [\s\ufeff"'\\]{0,9} (?:array\(|[\[({]) [\s\[({"'\\]{0,9}["'] \w+ ["'\\]+ \s*:
    (?= .* ["'] (?:role|from|speaker|sender|author) ["'\\]+ \s*:\s* ["'\\]+
        (?:system|developer|user|human|prompter|assistant|gpt|bot|model)\b )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
"""The beginning of turns as JSON or a Python `repr`, cut short or in quotes though it may be. Behind a few words, such
as `messages:`, they go to the end of the text, since a task may begin with an example of turns."""

_QUOTE = r"""(?: ["'“”\\] | &(?:quot|\#0?3[49]|apos); )"""
_ROLE = re.compile(
    rf"""\b(?:role|from|speaker|sender|author) {_QUOTE}* \s*[:=,]\s* {_QUOTE}+
        (?:system|developer|user|human|prompter|assistant|gpt|bot|model)\b""",
    re.VERBOSE | re.IGNORECASE,
)
"""A speaker in turns of any notation: JavaScript's, a `repr` of objects, JSON with other quotes or escaped for HTML."""

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

_BEGIN = re.compile(
    rf"""[\s\ufeff]*+ (?:\[gMASK\])?+ (?: {_TOKEN} | <s> | <sop> | <bos> | <start_of_turn> | \[INST\] | <<SYS>>
        | \[SYSTEM_PROMPT\]
        | (?:[\w\ ]{{0,20}}\b)? (?:user|human) : | system :
        | you(?:\ are|'re)\ (?: an?\b | the\b | (?-i:[A-Z][\w-]*) )
        | (?: a | this\ is\ a | the\ following\ is\ a ) \ (?:chat|conversation|dialogue?)\ between\b
        | below\ (?:is|are)\b )""",
    re.VERBOSE | re.IGNORECASE,
)
"""How a text begins that was rendered by a chat template: by a mark, or by a system prompt that has none."""

_LABELLED = re.compile(
    r"""
    (?:(?!\#\#\#\ Instruction:).)* \#\#\#\ Instruction:\s .* ^\#\#\#\ Response:\s*[^\s<]
    | (?:(?!@@\ Instruction).)* @@\ Instruction\s .* ^@@\ Response\s*[^\s<]
    | \s* (?:\#+\ *|\*\*|[<\[])? (?:human|user) (?: (?:\*\*|[>\]])? : | [>\]] )
      .* ^[\ \t]* (?:\#+\ *|\*\*|[<\[])? (?:assistant|ai|gpt|bot|model) (?: (?:\*\*|[>\]])? : | [>\]] ) \s* [^\s<]
    | \s* \#\#\#\ *(?:human|user|instruction) : .* \#\#\#\ *(?:assistant|gpt|bot|response) : \s* [^\s<]
    | (?:\s*\[Round\ \d+\])? \s* 问[:：] .* ^答[:：] \s* \S
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
_ANSWER_MARK = re.compile(
    rf"""{_MODEL} {_END}*+ (?: \n )? | (?-i:\bASSISTANT:)
    | ^(?: (?:assistant|ai|gpt|bot|model) : | \#\#\#\ *(?:response|assistant|gpt|bot|answer): | @@\ Response | 答[:：] )
        (?: [\ \t]*\n )?""",
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)
_COMMENT = re.compile(r"^([^\S\n]*+)#[^\n]*", re.MULTILINE)
_USER, _ASSISTANT = re.compile(r"\bUSER:"), re.compile(r"\bASSISTANT:\s*[^\s<]")
_TASK_LABEL = re.compile(
    r"""\s*+ [\#@*<\[]{0,4} \ *+ (?:instruct(?:ion)?|question|problem|prompt|input|task|query|exercise|request|user
    |human|q) \b [\w\ ]{0,20} [*>\]\ ]{0,4} (?::|$) | .{0,400}? ^\#\#\#\ Instruction:""",
    re.VERBOSE | re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
_PROGRAM_LABEL = re.compile(
    r"""^([\ \t]*+ [\#@*<\[]{0,4} \ *+ (?:response|answer|solution|completion|output|assistant|bot|a)
    [*>\]\ ]{0,4} (?::|$) [*\ ]*+)
    (?: \s*+ (?:[^\n]{0,200}:[^\S\n]*+\n)? \s*+ (?:```[^\n]*\n\s*+)? (?:\#[^\n]*\n\s*+)*+
        (?: (?:async\ )?def\ \w | class\ \w | import\ \w | from\ [\w.]+\ import\b | print\( | @\w+\n )
      | [^\S\n]*+\n \s*+ (?: [\w.,\ ]+\ =\ \S | (?:for|while|if|with|try)\b[^\n]*:[^\S\n]*$ ) )""",
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)
"""`Code:` is none: of a task that shows a program it cannot be told from a task with its answer."""


def is_transcript(text: str, *, answered: bool = False) -> bool:
    """Tell whether a text is a conversation, answers and all, rather than a task.

    Args:
        text: A text that `read_turns` does not take for turns.
        answered: Whether the answer is known to be elsewhere, so that a program behind a label that tasks use too, such
            as `Output:`, is none.

    Returns:
        True if it begins like serialized turns, or marks a person's turn and the answer to it.
    """
    bare = text.strip(" \t\r\n\ufeff`\"'").removeprefix("json").lstrip()
    is_value = bare[:1] in ("[", "{") and bare[-1:] in ("]", "}")
    if _SERIALIZED.match(text) or _LABELLED.match(text) or (is_value and _ROLE.search(bare)):
        return True
    if _BEGIN.match(text):
        user = _USER.search(text)
        if _ANSWERED.search(text) or (user and _ASSISTANT.search(text, user.end())):
            return True
    if answered or not _TASK_LABEL.match(text):
        return False
    return any(not _is_starter(text[found.end(1) :]) for found in _PROGRAM_LABEL.finditer(text))


def answer_begin(text: str, end: int) -> int | None:
    """Find where the last answer in the beginning of a conversation begins.

    Args:
        text: A conversation in one text.
        end: The end of its beginning.

    Returns:
        The position behind the mark of the model's turn, and behind the line break that belongs to it; None where there
        is no mark.
    """
    found = [one.end() for one in _ANSWER_MARK.finditer(text, 0, end)]
    return found[-1] if found else None


def _is_starter(code: str) -> bool:
    """Tell whether a program is for the model to complete: classes and functions of which none does anything."""
    fenced = re.match(r"\s*```[^\n]*\n(.*?)(?:^```|\Z)", code, re.DOTALL | re.MULTILINE)
    code = textwrap.dedent(fenced[1] if fenced else code.strip("\n")).rstrip()
    if code.endswith(":"):
        code += " pass"
    # A comment may be all that a body has, or stand where no statement may.
    found = parsed(code) or parsed(_COMMENT.sub(r"\1pass", code)) or parsed(_COMMENT.sub("", code))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    body = found.body if found else []
    return any(isinstance(one, kinds) for one in body) and all(map(_does_nothing, body))


def _does_nothing(statement: ast.stmt) -> bool:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return all(map(_does_nothing, statement.body))
        case ast.Return(value=value):
            return value is None or (isinstance(value, ast.Constant) and value.value is None)
    return isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass | ast.Raise) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def asked_in(text: str) -> str:
    """Return the task of a prompt that was rendered for a model, without the marks of its chat template.

    Args:
        text: A text that is no transcript.

    Returns:
        The user's text; the text as it is where it does not begin as a template begins, or is not one user's turn with
        marks and nothing else behind it.
    """
    asked = list(_ASKED.finditer(text)) if _BEGIN.match(text) else []
    if len(asked) != 1:
        return text
    begin = asked[0].end()
    end = _ASKED_END.search(text, begin)
    if end is None or not _NOTHING.fullmatch(text, end.start() if end[0].lower() != "[/inst]" else end.end()):
        return text
    return text[begin : end.start()].rpartition("<</SYS>>")[2].strip()
