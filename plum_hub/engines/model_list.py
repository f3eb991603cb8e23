"""Which models a server says it has, in the form of OpenAI or of another."""

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from plum_hub.engines.remote import LACKING

if TYPE_CHECKING:
    from openai import OpenAI


def listed_models(client: "OpenAI") -> list[str]:
    """Ask a server for its models.

    Args:
        client: OpenAI's client.

    Returns:
        Their names; none where the server has no list, or the key may do all but that.

    Raises:
        APIStatusError: The server refused for another reason.
        AttributeError: The list has another form; so has a `TypeError` or `ValueError`.
    """
    import openai

    try:
        body = client.models.with_raw_response.list().http_response.json()
    except openai.APIStatusError as error:
        if error.status_code in (400, 403, *LACKING):
            return []
        raise
    return names_in(body)


def names_in(body: Any) -> list[str]:
    """Read a list of models.

    Args:
        body: The JSON value of the answer.

    Returns:
        The models' names.

    Raises:
        AttributeError: It has another form; so has a `TypeError`.
    """
    models = body if isinstance(body, list) else body.get("data") or body.get("models") or []
    return [str(model.get("id") or model.get("name")) for model in models]


def closest(name: str, names: Iterable[str]) -> list[str]:
    """Find what a mistyped name may mean.

    Args:
        name: The name.
        names: Names that there are.

    Returns:
        The five most similar ones, the best first.
    """
    return sorted(names, key=lambda other: (-SequenceMatcher(None, name, other).ratio(), other))[:5]
