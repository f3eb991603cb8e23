"""Help with headings: groups of commands, and groups of options."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
from typing_extensions import override

_CommandT = TypeVar("_CommandT", bound=Callable[..., Any])

_HEADINGS = "__plum_hub_headings__"
"""The attribute of a command's function that has the heading of each option."""
_COLUMN = 30
"""Greatest width of click's column of names."""


class SectionedGroup(click.Group):
    """A group that lists its commands under headings."""

    sections: Mapping[str, Sequence[str]] = {}
    """Names of the commands under each heading, in order."""

    def add_sections(self, sections: Mapping[str, Iterable[click.Command]]) -> None:
        """Add commands.

        Args:
            sections: The commands by heading, both in the order in which they are listed.
        """
        found: dict[str, tuple[str, ...]] = {}
        for heading, commands in sections.items():
            for command in commands:
                self.add_command(command)
            found[heading] = tuple(command.name or "" for command in commands)
        self.sections = {**self.sections, **found}

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each section's commands with their summaries, all aligned."""
        width = max(map(len, self.commands), default=0)
        for heading, names in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(name.ljust(width), self.commands[name].get_short_help_str(limit=1000)) for name in names]
                )

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse an empty argument, such as an unset variable of a shell: as a path it would be the working folder."""
        for place, given in enumerate(args):
            option, has_value, value = given.partition("=") if given.startswith("--") else (given, "", given)
            if not value and (has_value or not given) and not ctx.resilient_parsing:
                before = option or (args[place - 1] if place else "")
                raise click.UsageError(f"The argument behind {before!r} is empty: give a value, or leave it out.", ctx)
        return super().parse_args(ctx, args)

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return [name for names in self.sections.values() for name in names]


class SectionedCommand(click.Command):
    """A command that lists its options under the headings given by `options`."""

    @override
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings, all aligned; `--help` itself comes last."""
        headings: Mapping[str, str] = getattr(self.callback, _HEADINGS, {})
        sections: dict[str, list[tuple[str, str]]] = {}
        heading = "Options"
        for parameter in self.get_params(ctx):
            heading = headings.get(parameter.name or "", heading)
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                sections.setdefault(heading, []).append(record)
        widest = max(len(name) for records in sections.values() for name, _ in records)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(min(widest, _COLUMN)), text) for name, text in records])


def options(heading: str, *decorators: Callable[[_CommandT], _CommandT]) -> Callable[[_CommandT], _CommandT]:
    """Give a `SectionedCommand` options under a heading.

    Args:
        heading: The title of the section.
        decorators: `click.option(...)`, in the order in which they are listed.

    Returns:
        A decorator for the command's function.
    """

    def decorate(function: _CommandT) -> _CommandT:
        parameters: list[click.Parameter] = getattr(function, "__click_params__", [])
        before = len(parameters)
        for decorator in reversed(decorators):
            function = decorator(function)
        parameters = getattr(function, "__click_params__", [])
        headings = {parameter.name: heading for parameter in parameters[before:]}
        setattr(function, _HEADINGS, {**getattr(function, _HEADINGS, {}), **headings})
        return function

    return decorate
