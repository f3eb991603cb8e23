"""`plum-hub hub`: the embedded Hub."""

from pathlib import Path

import click

from plum_hub.cli.options import Count, FilePath

_OPEN = (
    "at {host} other machines can reach this Hub: they can read its public repositories, and tokens are sent "
    "unencrypted; omit --host to keep it to this machine"
)


@click.group(short_help="Serve the embedded Hub of this machine.")
def hub() -> None:
    """Serve the embedded Hub, a small Hugging Face Hub on this machine."""


@hub.command(short_help="Serve its repositories until Ctrl-C.")
@click.option("--root", type=FilePath, help="Folder of the repositories.  [default: ~/.cache/plum-hub/hub]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=Count(0, 65535),
    default=8077,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--quota",
    type=Count(min=1),
    help="Requests per caller in five minutes; further ones get status 429.  [default: unlimited]",
)
@click.option(
    "--organisation",
    "organisations",
    multiple=True,
    metavar="NAME",
    help="Add a namespace to the account. Can be repeated.",
)
def serve(root: Path | None, host: str, port: int, quota: int | None, organisations: tuple[str, ...]) -> None:
    """Serve the repositories of the embedded Hub until Ctrl-C, to browsers and to unmodified clients.

    The printed address shows browsers the repositories, with their cards, versions, files, first rows and pull
    requests, read-only; private ones after signing in with the token as the password.

    \b
    In another terminal:
      HF_ENDPOINT=http://127.0.0.1:8077 python -c \\
        'from datasets import load_dataset; print(load_dataset("local/NAME", revision="v1.0.0"))'
      git clone http://127.0.0.1:8077/datasets/local/NAME

    Public repositories need no token, but a token of another Hub is refused: if one is stored, add
    HF_TOKEN=$(cat ROOT/token). That token can also write (then add HF_HUB_DISABLE_XET=1); ROOT/read-token can only
    read.
    """
    from plum_hub.hubs import server
    from plum_hub.hubs.embedded import default_root
    from plum_hub.hubs.limits import ServerLimits
    from plum_hub.hubs.store import add_organisations

    folder = root or default_root()
    if not server.is_loopback(host):
        click.echo(f"warning: {_OPEN.format(host=host)}", err=True)
    if organisations:
        add_organisations(folder, organisations)
    server.serve(
        folder,
        host=host,
        port=port,
        limits=ServerLimits(requests=quota),
        ready=lambda url: click.echo(f"serving {folder} at {url}; Ctrl-C stops"),
    )
