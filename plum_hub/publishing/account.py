"""Ask a Hub, before hours of work, whether it takes what they end in."""

import subprocess
from collections.abc import Callable

from plum_hub.errors import HubError
from plum_hub.hubs import client
from plum_hub.network import offline_variable
from plum_hub.publishing.repository import PublishOptions

_SECONDS = 60.0
"""When to give up. A Hub that does not answer by then may do so when the work is done."""
_ELSEWHERE = "or publish with  --hub embedded"


def check_account(options: PublishOptions | None, say: Callable[[str], None]) -> None:
    """Check that the token is one that may write to the repository.

    Args:
        options: Where the work will be published; None for nowhere, which is always possible, as is the embedded Hub.
        say: Receives one line if the Hub cannot be reached now, which is no reason not to begin.

    Raises:
        HubError: The Hub refuses the token, it may not write there, or the network is switched off.
    """
    target = None if options is None else client.choose_target(options.hub)
    if options is None or target is None or target.embedded:
        return
    where = target.endpoint or "https://huggingface.co"
    if variable := offline_variable():
        raise HubError(f"{variable} is set, so nothing can be published on {where}: unset it, {_ELSEWHERE}")
    try:
        account = client.account(target, _SECONDS)
    except (client.HubOutageError, subprocess.TimeoutExpired) as error:
        why = "it does not answer" if isinstance(error, subprocess.TimeoutExpired) else str(error).partition("; ")[0]
        say(f"{why}: the work begins all the same, and publishing will need {where} ({_ELSEWHERE.strip()})")
        return
    owner = (options.repo or "").rpartition("/")[0]
    may = ", ".join(account.writable)
    if account.role in ("read", "fineGrained") and not may:
        raise HubError(f"the token of {account.name} may not write to {where}: {client.SIGN_IN}, {_ELSEWHERE}")
    if owner and may and not {owner, options.repo} & {*account.writable}:
        raise HubError(
            f"--repo {options.repo}: the token of {account.name} may write to {may} only: name a repository there, "
            f"{client.SIGN_IN}, {_ELSEWHERE}"
        )
