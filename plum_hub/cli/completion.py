"""`plum-hub completion`: the shell script that completes commands and options."""

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  plum-hub completion bash >> ~/.bashrc
    zsh:   plum-hub completion zsh >> ~/.zshrc
    fish:  plum-hub completion fish > ~/.config/fish/completions/plum-hub.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # click knows the three shells of the choice
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, "plum-hub", "_PLUM_HUB_COMPLETE").source())
