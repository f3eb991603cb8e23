"""Tell which of several definitions of a name in an answer is the one that the answer gives."""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

from plum_hub.answers.blocks import Block
from plum_hub.answers.source import (
    DefinitionNode,
    FunctionNode,
    definitions,
    is_stub,
    loaded_names,
    longest_valid_prefix,
    stored_names,
    tree_of,
)

SKETCHED, WHOLE, COMPLETE = 2, 3, 5
"""How much of a definition there is, at least: its head; all of it, as far as can be seen; all of it for certain."""

_LEFT_OUT = re.compile(
    r"""(?ix) \#\W* (?:
        (?:\.{3}|…) \s* (?: $ | [(\[] | (?:the[ ])? (?:rest|remain|exist|same|other|previous|unchanged|your|omit) )
        | (?:(?:the|your)[ ])? (?:rest|remainder)[ ]of[ ](?:(?:the|your|this|its)[ ])? (?:original[ ]|existing[ ])?
          (?:code|function|method|class|implementation|logic|program|body|solution|file|script)\b
        | (?:keep[ ])?(?:(?:the|your|all)[ ])? (?:existing|previous|original|other|remaining)[ ]
          (?:code|methods?|implementation|logic|functions?|body)\b (?: \W*$ | .* (?:same|unchanged|here|above|\.{3}) )
        | (?:(?:the|all)[ ])? (?:code[ ])? (?:same|unchanged|identical)
          (?: \W*$ | [ ](?:code[ ]|logic[ ]|implementation[ ])? (?:as|to)[ ](?:before|above|earlier|previous|in[ ]the) )
        | (?:.*[ ])? (?:rest|code|logic|implementation|body|everything|methods?|function)[ ](?:.*[ ])?
          (?:remains?|stays?|is|are)[ ](?:(?:the[ ])?same|unchanged) \W* (?:$ | as[ ](?:before|above) )
    )"""
)
"""A comment that stands for code which is left out."""
_LONGEST_COMMENT = 200
_ASIDE = re.compile(
    r"""(?ix) \b(?: mistakes? | wrong(?:ly)? | incorrect(?:ly)? | buggy | bugs?(?!-free) | broken | anti-?pattern
        | non-?working | counter-?example | what[ ]not[ ]to[ ]do
        | pitfall | na[iï]ve(?:ly)? | brute[- ]?force | inefficient | slow(?:er)? | for[ ]comparison
        | bad[ ](?:example|practice|code|version|solution|approach|way) | avoid[ ](?:this|writing|doing|code)
        | (?:do[ ]not|don['’]t)[ ](?:do|write|use)
        | (?:original|previous|old|your)[ ](?:\W?\w+\W?[ ])? (?:code|function|version|solution|implementation|program)
    )\b"""
)
"""Names what is shown beside the answer: an error, what it replaces, or what it is compared with."""
_TELLS = re.compile(
    r"""(?ix) \b(?: is | are | was | were | has | have | had | does | did | fails? | failed | gives? | gave | contains?
        | made | went | miss(?:es|ed)? | forg[eo]t | need(?:s|ed)? | work(?:s|ed)? | handles?
        | (?:does|did|was|is|ca)n['’]t | correct(?:ed|ion)? | fix(?:ed|es|ing)? | final(?:ly)? | improve[ds]? | updated?
        | revised? | rewrit\w+ | above | better | faster | optimi[sz]ed? | more[ ]efficient | right | should | instead
        | noticed | found | spotted
    | rather[ ]than | again | without | wait | oops | sorry | let[ ]me | avoid(?:s|ing) | to[ ]avoid | prevents?
    )\b | , [ ] use\b"""
)
"""Tells what is wrong with something else, or corrects it, and so is no name of what is wrong."""
_SHOWN = re.compile(
    r"""(?ix) \b(?: (?:which|that|here|below|following)[ ](?:is|are|was) \b
        | (?:is|are|was|were|looks?[ ]like)
          (?:[ ](?:this|that|the[ ]following|as[ ]follows|like[ ]this|to[ ].*))? \W*$ )"""
)
_CORRECTS = re.compile(r"(?i)\b(?:correct(?:ed|ion)|fixed|final|wait|oops|sorry|apolog\w+)\b")
_STATES = re.compile(r"(?is)(?!.*\b(?:following|below|here|next)\b).*[.!]\W*$")
"""Ends as a sentence on what stands before it does, and not as a heading."""
_SENTENCE_END = re.compile(r"[.!?]\s+(?=\S)")


@dataclass(frozen=True)
class _Interface:
    """How a definition is used, by what it says."""

    kind: str
    gives_value: bool = False
    fewest: int = 0
    most: float = 0
    """The fewest and the most arguments by position."""
    words: frozenset[str] = frozenset()
    """Arguments that must be given by name."""
    public: frozenset[str] | None = None
    """Public names of a class; None if they are not known."""

    def replaces(self, other: "_Interface") -> bool:
        """Tell if what uses the other can use this in its place.

        Args:
            other: How another definition is used.

        Returns:
            True if it can, by the arguments that the other needs, or if one of them is not known.
        """
        if "unknown" in (self.kind, other.kind):
            return True
        return (
            self.kind == other.kind
            and not self.is_part_of(other)
            and self.fewest <= other.fewest <= self.most
            and self.words <= other.words
            and self.gives_value >= other.gives_value
        )

    def is_part_of(self, other: "_Interface") -> bool:
        """Tell if this may be a part of the other class that is shown anew, as it lacks public names.

        Args:
            other: How another definition is used.

        Returns:
            True if it may.
        """
        return self.public is not None and other.public is not None and not other.public <= self.public


def chosen_version(blocks: Sequence[Block], name: str) -> Block | None:
    """Choose the block whose definition of a name is the answer's.

    Models correct themselves, so that it is the last of the most complete ones. They also go on with variations, such
    as one for three numbers, and show errors: a definition that cannot be called as an earlier one, or does not
    return what that one did, is only the answer where it is said to correct that one.

    Args:
        blocks: Blocks that may be Python, in the order of the answer.
        name: The name.

    Returns:
        The block; None if none defines the name.
    """
    ranks = [_rank(block, name) for block in blocks]
    best = max(ranks, default=0)
    if not best:
        return None
    versions = [block for block, rank in zip(blocks, ranks, strict=True) if rank == best]
    kept = answering(versions, blocks)
    if len(kept) == 1:
        return kept[0]
    known = [_interface(block.code, name) for block in kept]
    counts = Counter(known)
    usual = max(known, key=lambda one: sum(count for other, count in counts.items() if one.replaces(other)))
    place = known.index(usual)
    for later in range(place + 1, len(kept)):
        new, old = known[later], known[place]
        if new.replaces(old) or (_corrects(kept[later], blocks) and not new.is_part_of(old)):
            place = later
    return kept[place]


def _rank(block: Block, name: str) -> int:
    """Tell how much of a definition a block has; where the answer ends within it, never all for certain."""
    rank = completeness(block.code, name)
    return rank if block.closed else min(rank, WHOLE)


def answering(versions: Sequence[Block], blocks: Sequence[Block]) -> list[Block]:
    """Leave out versions that are shown beside the answer, such as a common mistake or what it is compared with.

    Args:
        versions: Some of the blocks.
        blocks: All blocks of the answer that may be Python.

    Returns:
        The others; the last version if there are none.
    """
    return [block for block in versions if not is_aside(block, blocks)] or list(versions[-1:])


def is_aside(block: Block, blocks: Sequence[Block]) -> bool:
    """Tell whether a block is said to show something else than the answer, such as a common mistake.

    Args:
        block: One of the blocks.
        blocks: All blocks of the answer that may be Python.

    Returns:
        True if the text before it, or the comment on its first line, says so.
    """
    label, comment = _said(block, blocks)
    said = (comment, "" if _STATES.match(label) else label)
    names = (_SHOWN.sub("", _SENTENCE_END.split(text)[-1]) for text in said)
    return any(_ASIDE.search(name) and not _TELLS.search(name) for name in names)


def _corrects(block: Block, blocks: Sequence[Block]) -> bool:
    return any(map(_CORRECTS.search, _said(block, blocks)))


def _said(block: Block, blocks: Sequence[Block]) -> tuple[str, str]:
    """Return what a block is said to be: by the text before it, and by the comment on its first line.

    The text before a block is also the label of one that follows it directly, which it says nothing about.
    """
    place = next(index for index, one in enumerate(blocks) if one is block)
    label = "" if place and blocks[place - 1].label == block.label else block.label
    first = block.code.lstrip().split("\n", 1)[0]
    return label, first if first.startswith("#") else ""


def defines(code: str, name: str) -> bool:
    """Tell if code defines a name at its top level; decided by a regular expression if the code does not parse.

    Args:
        code: Python source.
        name: The name.

    Returns:
        True if it does; an import defines nothing.
    """
    if (tree := tree_of(code)) is not None:
        return definition(tree, name) is not None
    return re.search(rf"^(?:(?:async )?def|class) {re.escape(name)}\b", code, re.MULTILINE) is not None


def definition(tree: ast.Module, name: str) -> ast.stmt | None:
    """Return the last statement that binds a name, unless it is an import.

    Args:
        tree: A module.
        name: The name.

    Returns:
        The statement; None if there is none.
    """
    statement = definitions(tree).get(name)
    return None if isinstance(statement, ast.Import | ast.ImportFrom) else statement


def completeness(code: str, name: str) -> int:
    """Rate how much of the name's definition a block contains.

    Args:
        code: The block.
        name: The name.

    Returns:
        From 0 (nothing) to `COMPLETE`.
    """
    if not defines(code, name):
        return 0
    tree = tree_of(code)
    if tree is None:
        begin = longest_valid_prefix(code.split("\n"))
        prefix = tree_of(begin)
        node = None if prefix is None else definition(prefix, name)
        return 1 if node is None or is_sketch(node, begin) else WHOLE
    node = definition(tree, name)
    assert node is not None
    if is_sketch(node, code):
        return SKETCHED
    value = getattr(node, "value", None)
    renamed = isinstance(value, ast.Name) and isinstance(definitions(tree).get(value.id), DefinitionNode)
    made = isinstance(value, ast.Call | ast.Attribute) and name not in loaded_names(value)
    defined = any(isinstance(part, DefinitionNode) and part.name == name for part in ast.walk(node))
    return COMPLETE if renamed or made or defined or isinstance(value, ast.Lambda) else 4


def is_sketch(node: ast.stmt, code: str) -> bool:
    """Return whether a definition is empty, or leaves parts of it out with `...` or a comment that stands for them.

    Args:
        node: The definition.
        code: The source that has it.

    Returns:
        True for a sketch; False for any other statement.
    """
    if is_stub(node) or (isinstance(node, DefinitionNode) and _has_comment_for_code(node, code)):
        return True
    if isinstance(node, ast.ClassDef):  # abstract methods and protocols look like sketches
        return all(isinstance(item, ast.Pass) or _is_constant(item) for item in node.body)
    return isinstance(node, DefinitionNode) and any(map(_is_ellipsis, ast.walk(node)))


def _is_ellipsis(node: ast.AST) -> bool:
    """Tell if a statement is `...`, or assigns or returns it in place of a value."""
    value = node.value if isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign | ast.Return) else None
    return isinstance(value, ast.Constant) and value.value is ...


def leaves_out(code: str) -> bool:
    """Tell whether a comment stands for code that is left out, such as `# ... the rest stays the same`.

    Args:
        code: Python source.

    Returns:
        True if there is such a comment.
    """
    return "#" in code and any(_LEFT_OUT.match(text[:_LONGEST_COMMENT]) for *_, text in _comments(code))


def _has_comment_for_code(node: ast.stmt, code: str) -> bool:
    """Tell if a comment in a definition, or indented behind it, stands for code that is left out."""
    return "#" in code and any(
        _LEFT_OUT.match(text[:_LONGEST_COMMENT])
        and line > node.lineno
        and (line <= (node.end_lineno or 0) or column > node.col_offset)
        for line, column, text in _comments(code)
        if line <= _last_line(node, code)
    )


def _comments(code: str) -> Iterator[tuple[int, int, str]]:
    """Yield line, column and text of each comment of code that parses."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type == tokenize.COMMENT:
                yield *token.start, token.string
    except (tokenize.TokenError, SyntaxError):  # the end of a text that was cut
        return


def _last_line(node: ast.stmt, code: str) -> int:
    """Return the last line that belongs to a definition, with blank and indented ones behind its last statement."""
    lines = code.split("\n")
    last = node.end_lineno or node.lineno
    while last < len(lines) and (not lines[last].strip() or lines[last][:1].isspace()):
        last += 1
    return last


def _is_constant(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _interface(code: str, name: str) -> _Interface:
    """Read how a definition is used."""
    known = definitions(tree) if (tree := tree_of(code)) is not None else {}
    node: ast.AST | None = known.get(name)
    value = getattr(node, "value", None)
    if isinstance(node, ast.Assign) and isinstance(value, ast.Name | ast.Lambda):
        node = value if isinstance(value, ast.Lambda) else known.get(value.id)
    if isinstance(node, ast.ClassDef):
        public = None if node.bases else frozenset(one for one in members(node) if not one.startswith("_"))
        return _Interface("class", public=public)
    if not isinstance(node, (*FunctionNode, ast.Lambda)):
        return _Interface("unknown")
    parts = list(_own(node))
    yields = any(isinstance(part, ast.Yield | ast.YieldFrom) for part in parts)
    returns = any(isinstance(part, ast.Return) and not _is_none(part.value) for part in parts)
    args = node.args
    most = len(args.posonlyargs) + len(args.args)
    words = (one.arg for one, default in zip(args.kwonlyargs, args.kw_defaults, strict=True) if default is None)
    return _Interface(
        f"{'async ' * isinstance(node, ast.AsyncFunctionDef)}{'generator' if yields else 'function'}",
        gives_value=returns or isinstance(node, ast.Lambda),
        fewest=most - len(args.defaults),
        most=inf if args.vararg else most,
        words=frozenset(words),
    )


def _is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a function that are not in a function or class inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (*DefinitionNode, ast.Lambda)):
            yield child
            yield from _own(child)


def members(node: ast.ClassDef) -> set[str]:
    """Find the names that the body of a class binds.

    Args:
        node: The class.

    Returns:
        The names.
    """
    return {name for item in node.body for name in stored_names(item)}
