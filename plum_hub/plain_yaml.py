"""YAML that may come from anybody, as plain data: no tags that make objects, and no text that grows without bound.

YAML repeats what an alias names. A card of one kilobyte can stand for a billion values, and merge keys can make the
parser itself copy them. So what a text stands for is counted before anything is made of it.
"""

from typing import Any

import yaml

MOST_CHARACTERS, MOST_VALUES = 1_000_000, 100_000
"""Bounds of a text, and of the values that it stands for. Parsing takes some 10 microseconds a character."""


class UnboundedYamlError(yaml.YAMLError):
    """The text is too long, stands for too many values, or contains itself."""


class RepeatedKeyError(yaml.YAMLError):
    """A key stands twice in one mapping, of which a parser keeps the last."""


class _Loader(yaml.SafeLoader):
    """Reads dates as dates: a library that vLLM imports has all loaders read them as texts."""


_Loader.add_constructor(  # the stubs take functions of a loader only
    "tag:yaml.org,2002:timestamp",
    yaml.SafeLoader.construct_yaml_timestamp,  # type: ignore[type-var]
)

_PLAINLY = {
    "found character '\\t' that cannot start any token": "a tab; indent with spaces",
    "mapping values are not allowed here": "a second `: ` in this line; put the text in quotes, or begin a new line",
}
"""What the parser means by messages of its grammar."""


def problem(error: BaseException) -> str:
    """Say what is not YAML, and where.

    Args:
        error: What `load` raised.

    Returns:
        One line, as `line 4, column 1: a tab; indent with spaces`.
    """
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {_PLAINLY.get(error.problem, error.problem)}"
    return " ".join(str(error).split())[:300] or type(error).__name__


def load(text: str, *, unique: bool = False) -> Any:
    """Parse YAML as `yaml.safe_load` does, within bounds.

    Args:
        text: One document.
        unique: Whether to refuse a key that stands twice.

    Returns:
        Builtins: mappings, lists, texts, numbers, dates, None.

    Raises:
        YAMLError: It is not YAML, names an object, or has a value that is none, such as a 13th month;
            `UnboundedYamlError` where it is beyond the bounds, `RepeatedKeyError` for a key that stands twice.
    """
    if len(text) > MOST_CHARACTERS:
        raise UnboundedYamlError(f"it has more than {MOST_CHARACTERS:,} characters")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > MOST_VALUES:
            raise UnboundedYamlError(f"its aliases stand for more than {MOST_VALUES:,} values")
        if unique:
            _check_keys(node, set())
        return loader.construct_document(node)
    except ValueError as error:
        raise yaml.YAMLError(str(error)) from error
    except RecursionError as error:
        raise UnboundedYamlError("it is nested too deeply") from error
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Return how many values a node stands for, with each alias counted again."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise UnboundedYamlError("it contains itself")
        return size
    known[id(node)] = None
    children = node.value if isinstance(node, yaml.SequenceNode) else [one for pair in node.value for one in pair]
    size = 1 + sum(_size(child, known) for child in children)
    known[id(node)] = size
    return size


def _check_keys(node: yaml.Node, checked: set[int]) -> None:
    """Refuse a key that stands twice."""
    if isinstance(node, yaml.ScalarNode) or id(node) in checked:
        return
    checked.add(id(node))
    known: set[str] = set()
    for child in node.value:
        key, value = child if isinstance(node, yaml.MappingNode) else (None, child)
        if isinstance(key, yaml.ScalarNode):
            if key.value in known:
                line = key.start_mark.line + 1 if key.start_mark else "?"
                raise RepeatedKeyError(f"the key {key.value!r} stands twice, the second time in line {line}")
            known.add(key.value)
        _check_keys(value, checked)
