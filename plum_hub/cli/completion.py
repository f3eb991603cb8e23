"""`plum-hub completion`: the script by which a shell completes commands and options."""

import click


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  plum-hub completion bash >> ~/.bashrc
    zsh:   plum-hub completion zsh >> ~/.zshrc
    fish:  plum-hub completion fish > ~/.config/fish/completions/plum-hub.fish
    """
    from click.shell_completion import get_completion_class

    completer = get_completion_class(shell)
    assert completer is not None  # click knows the three shells of the choice
    root = click.get_current_context().find_root().command
    click.echo(completer(root, {}, "plum-hub", "_PLUM_HUB_COMPLETE").source())
