"""`plum-hub hub`: the embedded Hub."""

from pathlib import Path

import click


@click.group()
def hub() -> None:
    """The embedded Hub: a small Hugging Face Hub on this machine."""


@hub.command()
@click.option(
    "--root", type=click.Path(path_type=Path), help="Where repositories are kept.  [default: ~/.cache/plum-hub/hub]"
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; loopback unless told otherwise."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8077,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
def serve(root: Path | None, host: str, port: int) -> None:
    """Serve the repositories that builds without a token have published, until Ctrl-C.

    \b
    Then, in another terminal:
      HF_ENDPOINT=http://127.0.0.1:8077 python -c \\
        'from datasets import load_dataset; print(load_dataset("local/NAME", revision="v1.0.0"))'

    Public repositories need no token, but a token of another Hub is refused: where one is stored, add
    HF_TOKEN=$(cat ROOT/token).
    """
    from plum_hub.hubs import server
    from plum_hub.hubs.embedded import default_root

    folder = root or default_root()
    server.serve(folder, host=host, port=port, ready=lambda url: click.echo(f"serving {folder} at {url}; Ctrl-C stops"))
