"""Fill README.md's generated blocks (`<!-- help COMMAND -->`, and `<!-- recipe keys -->` and the like), each to its
`<!-- end -->`."""

import ast
import inspect
import re
import textwrap
from pathlib import Path
from typing import get_args

from click.testing import CliRunner
from pydantic import BaseModel

from plum_hub.cli import cli
from plum_hub.engines import EngineConfig
from plum_hub.recipe import Recipe
from plum_hub.training.settings import TrainingSettings

README = Path(__file__).resolve().parents[1] / "README.md"


def help_block(command: str) -> str:
    done = CliRunner().invoke(cli, [*command.split(), "--help"], prog_name="plum-hub", terminal_width=100)
    return f"```text\n{done.output.strip()}\n```"


def docstrings(section: type[BaseModel]) -> dict[str, str]:
    """The docstring under each field."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(section))).body[0]
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for field, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(after.value.value).split())
    return found


def keys_block() -> str:
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for name, field in Recipe.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            meanings = docstrings(section)
            for key, inner in section.model_fields.items():
                default = inner.get_default(call_default_factory=True)
                lines.append(row(f"{name}.{key}", default, meanings.get(key, "")))
        else:
            lines.append(row(name, "" if field.is_required() else field.default, docstrings(Recipe).get(name, "")))
    return "\n".join(lines)


def training_block() -> str:
    lines, meanings = ["| key | default | meaning |", "|---|---|---|"], docstrings(TrainingSettings)
    for key, field in TrainingSettings.model_fields.items():
        lines.append(row(key, field.default, meanings.get(key, "")))
    return "\n".join(lines)


def engines_block() -> str:
    lines = ["| engine | key | default | meaning |", "|---|---|---|---|"]
    union, _ = get_args(EngineConfig)
    for kind in get_args(union):
        meanings: dict[str, str] = {}
        for base in reversed(kind.__mro__):
            if issubclass(base, BaseModel) and base is not BaseModel:
                meanings |= docstrings(base)
        for key, field in kind.model_fields.items():
            if key != "type":
                default = None if field.is_required() else field.default
                lines.append(f"| {kind.model_fields['type'].default} {row(key, default, meanings.get(key, ''))}")
    return "\n".join(lines)


def row(key: str, default: object, meaning: str) -> str:
    shown = "" if default is None or default == "" else f"`{default}`"
    if isinstance(default, tuple):
        shown = ", ".join(f"`{item}`" for item in default)
    return f"| `{key}` | {shown} | {meaning} |"


def main() -> None:
    text = README.read_text(encoding="utf-8")
    text = re.sub(
        r"(<!-- help ?([a-z -]*?) -->\n).*?(<!-- end -->)",
        lambda match: f"{match[1]}{help_block(match[2])}\n{match[3]}",
        text,
        flags=re.DOTALL,
    )
    for name, block in (("recipe", keys_block), ("engine", engines_block), ("training", training_block)):
        marks = re.compile(rf"(<!-- {name} keys -->\n).*?(<!-- end -->)", re.DOTALL)
        text = marks.sub(lambda match, block=block: f"{match[1]}{block()}\n{match[2]}", text)  # type: ignore[misc]
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
