"""What the environment says about the network: whether `huggingface_hub` may use it, and through which proxies."""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from urllib.request import getproxies_environment

_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_PROXIES = ("http", "https", "all")
DIRECT = {f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")}
"""`mounts` of an HTTP client: a server on this machine is behind no proxy, which would look for it on its own."""


def offline_variable() -> str | None:
    """Return the variable by which `huggingface_hub` does not use the network; None if it does."""
    name = next((name for name in _OFFLINE if os.environ.get(name)), None)
    return name if name and os.environ[name].upper() in {"1", "ON", "YES", "TRUE"} else None


def can_be_key(text: str) -> bool:
    """Tell whether a text could be a server's key, which travels in a header: printable ASCII.

    Args:
        text: The text. A key that is copied from a page may have typographic quotes, one from a file of a container's
            variables (`--env-file`) those around it, and one from an example `Bearer` before it.

    Returns:
        True if it could.
    """
    return text.isascii() and text.isprintable() and not text.lower().startswith(("'", '"', "bearer "))


def on_loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """Take out what keeps `huggingface_hub` from a Hub on this machine: it is there offline, and behind no proxy.

    Args:
        environment: Variables.

    Returns:
        The others.
    """
    hidden = {*_OFFLINE, *(f"{scheme}_proxy".upper() for scheme in (*_PROXIES, "no"))}
    return {key: value for key, value in environment.items() if key.upper() not in hidden}


def proxy_fault() -> str | None:
    """Return why `huggingface_hub` could not use a proxy of the environment, and what mends it; None if it can."""
    for scheme, address in getproxies_environment().items():
        kind = address.partition("://")[0].lower() if "://" in address else "http"
        if scheme not in _PROXIES or kind in ("http", "https"):
            continue
        name = next(key for key in (f"{scheme}_proxy", f"{scheme}_proxy".upper()) if os.environ.get(key))
        if not kind.startswith("socks5"):
            return (
                f"{name} names a proxy by {kind}://, which no client here knows; write http:// or socks5:// "
                f"there, or unset {name}"
            )
        if find_spec("socksio") is None:
            return (
                f"{name} names a SOCKS proxy, which takes a package that is missing; run  pip install socksio , or "
                f"unset {name}"
            )
    return None
