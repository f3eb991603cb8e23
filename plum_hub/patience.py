"""How long the Hub's client waits: by default for ever, for lists whatever its limit is, and it repeats what had no
answer in time.
"""

from typing import Any

from plum_hub.network import proxy_fault

PATIENCE = 300.0
"""Seconds of silence after which a Hub counts as gone; none takes that long to make a commit."""

_set: list[float] = []


def be_patient() -> None:
    """Have `huggingface_hub` in this process give up a Hub that stays silent for `PATIENCE`, unless that is set."""
    if not _set:
        set_patience(PATIENCE)


def set_patience(seconds: float) -> None:
    """Have `huggingface_hub` in this process give up a Hub that stays silent, with a `ConnectionError`.

    A proxy of the environment that cannot be used is a `ConnectionError`, too. Clients are made as before, by the
    user's own factory if there is one; a limit that it sets stays.

    Args:
        seconds: How long a Hub may be silent, over all requests since its last answer.
    """
    import httpx2
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    silent, factory = 0.0, _http._GLOBAL_CLIENT_FACTORY

    def client() -> Any:
        try:
            made = factory()
        except (ImportError, ValueError) as error:
            if fault := proxy_fault():
                raise ConnectionError(fault) from error
            raise
        if made.timeout.read is None:
            made.timeout = seconds
        send = made.send

        def patiently(request: Any, **how: Any) -> Any:
            nonlocal silent
            limits = request.extensions["timeout"]
            limits.update({what: seconds for what, limit in limits.items() if limit is None})
            try:
                answer = send(request, **how)
            except httpx2.TimeoutException as error:
                silent += limits["read"]
                if silent >= seconds:
                    raise ConnectionError(f"no answer for {silent:.0f} s") from error  # not among what is repeated
                raise
            silent = 0.0
            return answer

        made.send = patiently
        return made

    set_client_factory(client)
    _set.append(seconds)
