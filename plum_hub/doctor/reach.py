"""What this machine reaches: a Hub and what its token may do there, the servers of engines, a Ray cluster.

Every probe ends: what does not answer within `SECONDS` is not asked more. A key or a token is sent to its own server
only, and never shown.
"""

import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from plum_hub.doctor.diagnosis import Diagnosis, State
from plum_hub.errors import HubError
from plum_hub.home import clients_home
from plum_hub.hubs.client import Account, HubTarget, account
from plum_hub.hubs.embedded import default_root, running_endpoint
from plum_hub.hubs.store import token_file
from plum_hub.network import DIRECT, can_be_key, offline_variable, proxy_fault

SECONDS = 2.5
"""Seconds after which what does not answer counts as out of reach."""
_WORKER_SECONDS = 30.0
"""The same for a question by `huggingface_hub`, whose process takes seconds to start on a busy machine."""
_SIGN_IN = "set HF_TOKEN to a token with write access, or run  hf auth login"
_OPENAI = "https://api.openai.com/v1"
_PUBLIC = "https://huggingface.co"
_RAY_PORT = 6379


class EngineServer(NamedTuple):
    """A server that an engine would ask.

    Attributes:
        kind: Which API it speaks.
        url: Its address.
        model: The model that it should serve; empty for any.
        key_name: The environment variable of its key; empty if it takes none.
    """

    kind: Literal["openai", "tgi"]
    url: str
    model: str
    key_name: str


def describe(target: HubTarget) -> str:
    """Say which Hub a build publishes to.

    Args:
        target: The Hub.

    Returns:
        Its address, or where the embedded one is stored.
    """
    if target.embedded:
        return f"embedded, stored in {default_root()}"
    return shown(target.endpoint) if target.endpoint else "the public Hub"


def shown(url: str) -> str:
    """Return an address without what may be secret in it: user, password and query.

    Args:
        url: The address.
    """
    with suppress(ValueError):
        if (parts := urlsplit(url)).netloc:
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
    return url.rpartition("@")[2].partition("?")[0]  # no address, but there may be secrets in it all the same


def hub(target: HubTarget) -> list[Diagnosis]:
    """Ask a Hub who the token's account is, and what the token may do.

    Args:
        target: The Hub.

    Returns:
        Whether it answers, the token's scope, and the mode of the token's file.
    """
    files = list(_token_files(target))
    if target.embedded:
        return [_embedded(), *files]
    if variable := offline_variable():
        says = f"{describe(target)}, not asked, as {variable} is set: a build cannot publish there"
        mend = f"unset {variable}, or publish with --hub embedded"
        return [Diagnosis(group="hub", name="hub", state="note", says=says, mend=mend), *files]
    if (failure := _unreached(target)) is not None:
        mend = "check the address and the network, or use --hub embedded"
        says = f"{describe(target)} does not answer ({failure})"
        return [Diagnosis(group="hub", name="hub", state="fault", says=says, mend=mend), *files]
    answers = f"{describe(target)} answers"
    if target.token is None:
        says = f"{answers}, without a token: what is public can be read, nothing be published"
        return [Diagnosis(group="hub", name="hub", state="note", says=says, mend=_SIGN_IN), *files]
    try:
        found = account(target, _WORKER_SECONDS)
    except HubError as error:
        return [Diagnosis(group="hub", name="hub", state="fault", says=str(error), mend=_SIGN_IN), *files]
    except subprocess.TimeoutExpired:
        says = f"{answers}, but does not say in {_WORKER_SECONDS:g} s whose the token is"
        return [Diagnosis(group="hub", name="hub", state="fault", says=says, mend="try again later"), *files]
    return [Diagnosis(group="hub", name="hub", state="ok", says=answers), _scope(found), *files]


def _unreached(target: HubTarget) -> str | None:
    """Ask a Hub for anything, without a token; return what kept it from answering, or None if it answered."""
    import httpx2

    try:
        httpx2.get(f"{target.endpoint or _PUBLIC}/api/datasets", params={"limit": 1}, timeout=SECONDS)
    except httpx2.TimeoutException:
        return f"in {SECONDS:g} s"
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, ImportError) as error:  # the last two are of a proxy
        return proxy_fault() or type(error).__name__
    return None


def _scope(found: Account) -> Diagnosis:
    may = f"may write to {', '.join(found.writable)}" if found.writable else "may not write"
    says = f"account {found.name}, {found.role} token, {may}"
    if found.writable:
        return Diagnosis(group="hub", name="hub token", state="ok", says=says)
    mend = f"{_SIGN_IN}; or publish with --hub embedded"
    return Diagnosis(group="hub", name="hub token", state="fault", says=f"{says}: a build cannot publish", mend=mend)


def _embedded() -> Diagnosis:
    root = default_root()
    if shutil.which("git") is None:
        says = f"{describe(HubTarget(None, None, embedded=True))}, which needs git, and there is none"
        return Diagnosis(group="hub", name="hub", state="fault", says=says, mend="install git")
    running = running_endpoint(root)
    says = f"embedded, stored in {root}, {f'served at {running}' if running else 'started when it is needed'}"
    return Diagnosis(group="hub", name="hub", state="ok", says=says)


def _token_files(target: HubTarget) -> Iterator[Diagnosis]:
    """Yield a note for each token that other accounts of this machine can read."""
    own = Path(os.environ.get("HF_TOKEN_PATH") or clients_home() / "token")
    for path in (token_file(default_root()),) if target.embedded else (own, clients_home() / "stored_tokens"):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield Diagnosis(
                group="hub", name=f"token file {path.name}", state="note",
                says=f"{path} can be read by others (mode {stat.S_IMODE(mode):o})", mend=f"run  chmod 600 {path}",
            )  # fmt: skip


def servers(engines: Sequence[str]) -> list[EngineServer]:
    """Find the servers to ask: those of engines that were named, and OpenAI's where there is a key or an address.

    Args:
        engines: Engines in the command line's form. One that runs on this machine has no server.

    Returns:
        The servers.

    Raises:
        EngineError: An engine has no such form.
    """
    found = []
    for text in engines:
        from plum_hub.engines import parse_engine
        from plum_hub.engines.openai import OpenAIConfig
        from plum_hub.engines.tgi import TgiConfig

        match parse_engine(text):
            case OpenAIConfig() as config:
                found.append(EngineServer("openai", config.base_url or _own_openai(), config.model, config.api_key_env))
            case TgiConfig() as config:
                found.append(EngineServer("tgi", config.base_url, "", ""))
            case _:
                continue
    if not engines and (os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL")):
        found.append(EngineServer("openai", _own_openai(), "", "OPENAI_API_KEY"))
    return found


def _own_openai() -> str:
    return os.environ.get("OPENAI_BASE_URL", "").strip() or _OPENAI


def engine(server: EngineServer) -> list[Diagnosis]:
    """Ask a server which models it has, with its key.

    Args:
        server: The server.

    Returns:
        Whether it answers, accepts the key, and has the model.
    """
    import httpx2

    name = f"engine {server.kind} at {shown(server.url)}"
    key = os.environ.get(server.key_name, "").strip() if server.key_name else ""
    if (unusable := _unusable(server, key)) is not None:
        return [_engine(f"engine {server.kind}", "fault", *unusable)]
    path = "/models" if server.kind == "openai" else "/info"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx2.Client(timeout=SECONDS, mounts=DIRECT) as client:
            answer = client.get(f"{server.url.rstrip('/')}{path}", headers=headers)
        found = answer.json() if answer.status_code == 200 else None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, ImportError) as error:  # ImportError: of a SOCKS proxy
        why = proxy_fault() or type(error).__name__
        return [_engine(name, "fault", f"does not answer ({why})", "start it, or check its base_url")]
    if key and answer.status_code == 403:  # of a key that is restricted
        says = "answers, and does not let this key list models: a build tries its model first"
        return [_engine(name, "note", says, f"give the key in {server.key_name} the right to list models")]
    if answer.status_code in (401, 403):
        with_key = f"refuses the key of {server.key_name}" if key else "wants a key"
        mend = f"put a valid key into {server.key_name}" if server.key_name else "ask its owner for access"
        return [_engine(name, "fault", f"answers, and {with_key}", mend)]
    models = _models(server.kind, found)
    if models is None:
        says = f"answers {path} with status {answer.status_code}, not as a server of this kind"
        return [_engine(name, "fault", says, "check its base_url: that of an OpenAI server ends in /v1")]
    if server.model and server.model not in models:
        says = f"answers, and does not list {server.model!r} among its {len(models)} models: a build tries it first"
        return [_engine(name, "note", says, f"name one of its models, such as {', '.join(models[:3]) or 'none'}")]
    accepted = "; accepts the key" if key else ""
    return [_engine(name, "ok", f"answers with {len(models)} models ({', '.join(models[:3])}){accepted}", "")]


def _unusable(server: EngineServer, key: str) -> tuple[str, str] | None:
    """Return what is wrong with a setting, and its mend: a server that cannot be asked is not said to be down."""
    if not server.url.lower().startswith(("http://", "https://")):
        return f"its address {shown(server.url)} has no scheme", "write http:// before it"
    if not can_be_key(key):
        says = f"{server.key_name} holds a character that no key has, such as a quote, or begins with Bearer"
        return says, f"set {server.key_name} to the bare key"
    return None


def _engine(name: str, state: State, says: str, mend: str) -> Diagnosis:
    return Diagnosis(group="engine", name=name, state=state, says=says, mend=mend)


def _models(kind: str, found: Any) -> list[str] | None:
    """Return the models that an answer names; None if it is of another form."""
    if kind == "tgi":
        return [str(found["model_id"])] if isinstance(found, dict) and "model_id" in found else None
    if isinstance(found, dict) and not found.keys() & {"data", "models"}:
        return None
    from plum_hub.engines.model_list import names_in

    try:
        return names_in(found)
    except (AttributeError, TypeError):
        return None


def ray(address: str | None) -> list[Diagnosis]:
    """Find Ray and its cluster. The cluster's port is opened and closed again; nothing is asked of it.

    Args:
        address: HOST:PORT; None for `RAY_ADDRESS` or the cluster that runs on this machine.

    Returns:
        Its version, and whether the cluster can be reached.
    """
    try:
        version = metadata.version("ray")
    except metadata.PackageNotFoundError:
        state: State = "fault" if address else "note"
        says, mend = (
            "not installed; one machine needs none",
            "run  pip install 'plum-hub[ray]'  for work on several machines",
        )
        return [Diagnosis(group="ray", name="ray", state=state, says=says, mend=mend)]
    installed = Diagnosis(group="ray", name="ray", state="ok", says=version)
    named = address or os.environ.get("RAY_ADDRESS") or ""
    asked: State = "fault" if named else "note"  # one that nobody named may be gone: Ray's note outlives its cluster
    if named in ("", "auto"):
        note = _ray_note()
        named = note.read_text(encoding="utf-8").strip() if note.is_file() else ""
        if not named:
            says, mend = (
                "no cluster runs on this machine",
                "run  ray start --head , or name one with --address HOST:PORT",
            )
            return [installed, Diagnosis(group="ray", name="ray cluster", state=asked, says=says, mend=mend)]
    host, _, port = named.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host or named, int(port) if host else _RAY_PORT), timeout=SECONDS).close()
    except (OSError, ValueError) as error:
        mend = "start it with  ray start --head , or name another with --address HOST:PORT"
        says = f"{named} does not answer ({error})"
        return [installed, Diagnosis(group="ray", name="ray cluster", state=asked, says=says, mend=mend)]
    return [installed, Diagnosis(group="ray", name="ray cluster", state="ok", says=f"{named} answers")]


def _ray_note() -> Path:
    """Return the file in which Ray notes the address of the last cluster that was started on this machine."""
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp", "ray", "ray_current_cluster")
