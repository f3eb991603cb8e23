"""`plum-hub hub`: the embedded Hub."""

from pathlib import Path

import click

OPEN = (
    "at {host} other machines reach this Hub: they read its public repositories, and tokens are sent unencrypted; "
    "leave --host out to keep it to this machine"
)


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
@click.option(
    "--quota",
    type=click.IntRange(min=1),
    help="Requests that each caller has in five minutes; the next get status 429.  [default: any number]",
)
@click.option(
    "--organisation",
    "organisations",
    multiple=True,
    metavar="NAME",
    help="Also a namespace of the account, from now on. May be repeated.",
)
def serve(root: Path | None, host: str, port: int, quota: int | None, organisations: tuple[str, ...]) -> None:
    """Serve what builds without a token have published, until Ctrl-C: to browsers, and to unmodified clients.

    A browser shows at the address that is printed the repositories, their cards, versions, files, first rows
    and pull requests, to read only; private ones after signing in with the token as the password.

    \b
    In another terminal:
      HF_ENDPOINT=http://127.0.0.1:8077 python -c \\
        'from datasets import load_dataset; print(load_dataset("local/NAME", revision="v1.0.0"))'
      git clone http://127.0.0.1:8077/datasets/local/NAME

    Public repositories need no token, but a token of another Hub is refused: where one is stored, add
    HF_TOKEN=$(cat ROOT/token). That one also writes (then add HF_HUB_DISABLE_XET=1); ROOT/read-token only reads.
    """
    from plum_hub.hubs import server
    from plum_hub.hubs.embedded import default_root
    from plum_hub.hubs.limits import ServerLimits
    from plum_hub.hubs.store import add_organisations

    folder = root or default_root()
    if not server.is_loopback(host):
        click.echo(f"warning: {OPEN.format(host=host)}", err=True)
    if organisations:
        add_organisations(folder, organisations)
    server.serve(
        folder,
        host=host,
        port=port,
        limits=ServerLimits(requests=quota),
        ready=lambda url: click.echo(f"serving {folder} at {url}; Ctrl-C stops"),
    )
