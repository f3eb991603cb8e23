"""Settings as layers of YAML: a file, a command's options and `--set KEY=VALUE`, of which later ones win.

What the keys mean is not known here: recipes and experiments validate the tree that results.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from plum_hub import plain_yaml
from plum_hub.errors import RecipeError, perhaps


def read(path: Path) -> str:
    """Read the text of a recipe file.

    Args:
        path: The file.

    Returns:
        The text.

    Raises:
        RecipeError: The file cannot be read.
    """
    if path.is_dir():
        raise RecipeError(f"{path}: is a folder; name a recipe with --recipe FILE")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"{path}: cannot be read as UTF-8 text ({error}); name a recipe with --recipe FILE"
        ) from error


def mapping(text: str, origin: str) -> dict[str, Any]:
    """Read a recipe's text as a mapping, unvalidated.

    Args:
        text: The YAML text.
        origin: Where it comes from, for error messages.

    Returns:
        The keys and values.

    Raises:
        RecipeError: The text is not YAML, or not a mapping.
    """
    try:
        tree = plain_yaml.load(text, unique=True)
    except plain_yaml.RepeatedKeyError as error:
        raise RecipeError(f"{origin}: {error}; leave one out") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{origin}: not YAML ({plain_yaml.problem(error)}); correct the file") from error
    if not isinstance(tree, dict):
        what = "is empty" if tree is None else "has no keys"
        raise RecipeError(
            f"{origin}: {what}; a recipe is a mapping: write one `KEY: VALUE` a line, with a space behind the colon"
        )
    return tree


def sections(text: str, origin: str) -> set[str]:
    """List the top-level keys that a recipe sets.

    Args:
        text: The YAML text.
        origin: Where it comes from, for error messages.

    Returns:
        The keys.

    Raises:
        RecipeError: The text is not YAML, or not a mapping.
    """
    return set(mapping(text, origin))


def setting_tree(setting: str) -> dict[str, Any]:
    """Read a setting as the nested mapping that it stands for.

    Args:
        setting: As `samples.per_instruction=10`; the value is YAML.

    Returns:
        As `{"samples": {"per_instruction": 10}}`.

    Raises:
        RecipeError: It is not of the form `KEY=VALUE`, or the value is not YAML.
    """
    key, equals, value = setting.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {setting!r:.200}: write it as KEY=VALUE, as in  --set samples.per_instruction=10")
    if not value.strip():  # as a shell makes of a variable that is not set
        raise RecipeError(f"--set {setting!r:.200}: has no value; give one, or  --set {key}=null  for none")
    try:
        leaf: object = plain_yaml.load(value, unique=True)
    except plain_yaml.RepeatedKeyError as error:
        raise RecipeError(f"--set {setting!r:.200}: {error}; leave one out") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {setting!r:.200}: the value is not YAML ({plain_yaml.problem(error)})") from error
    for part in reversed(key.strip().split(".")):
        leaf = {part: leaf}
    assert isinstance(leaf, dict)
    return leaf


def merged(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested mappings.

    Args:
        base: The first.
        override: The second, whose values win; mappings in both are merged.

    Returns:
        A new mapping.
    """
    result = dict(base)
    for key, value in override.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return result


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a nested mapping.

    Args:
        tree: The mapping.
        prefix: What every key begins with.

    Returns:
        Values by dotted key, as `samples.seed`.
    """
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[prefix + key] = value
    return leaves


def unknown_key(key: str, keys: Iterable[str], page: str) -> str:
    """Say that there is no such key, which key may be meant, and where all are.

    Args:
        key: What was written, with its section. In a file it may be a whole path that ought to be nested.
        keys: The keys that there are.
        page: The page of the reference that lists them.

    Returns:
        The end of a message.
    """
    names = {*keys}
    if key in names:
        section, _, rest = key.partition(".")
        return f"in a file the keys of a section stand below it: write  {section}: {{{rest}: VALUE}}"
    sections = {name.partition(".")[0] for name in names} if "." not in key else set()
    return f"no such key{perhaps(key, names | sections)}; docs/reference/{page}.md lists the keys"
