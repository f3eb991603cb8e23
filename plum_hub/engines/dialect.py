"""What one server calls the parameters of a request, and which it does not take; learned from what it refuses.

Nothing is changed here that changes the text: another name for the same value, a parameter left out that has the value
which the API has without it, or `stop`, at which every answer is cut here, too. All else is the user's to decide
(`omit`), and part of row ids.
"""

from collections.abc import Collection, Mapping

from plum_hub.engines.server_errors import ErrorBody

_OTHER_NAMES = {
    "max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens", "seed": "random_seed"
}  # fmt: skip
"""OpenAI's newer models, other servers, and Mistral."""
_WITHOUT = {"temperature": 1.0, "top_p": 1.0}
"""The values that the API gives to parameters which are not sent."""
_STOP = "stop"
"""Reasoning models take none, and some servers four at most."""
_OMITTED = ("temperature", "top_p", "seed", "random_seed")
PARAMETERS = (*_OMITTED, "max_tokens", "max_completion_tokens")
"""Parameters that some servers refuse."""


class Dialect:
    """The parameters of one server.

    Args:
        omit: Parameters that are never sent.
    """

    def __init__(self, omit: Collection[str]) -> None:
        self._renamed: dict[str, str] = {}
        self._left_out = set(omit)

    def spoken(self, body: Mapping[str, object]) -> dict[str, object]:
        """Translate a request.

        Args:
            body: The body in OpenAI's terms.

        Returns:
            The body in this server's.
        """
        return {self._renamed.get(name, name): value for name, value in body.items() if name not in self._left_out}

    def learn(self, body: Mapping[str, object], said: ErrorBody) -> bool:
        """Learn from a refused request.

        Args:
            body: The body in OpenAI's terms.
            said: What the server said.

        Returns:
            Whether the request should be sent again, since it is spoken in another way now.
        """
        spoken, meant = self.spoken(body), {new: old for old, new in self._renamed.items()}
        for name in said.unknown_parameters(PARAMETERS):
            if name not in spoken:
                if name in self._renamed or name in self._left_out:
                    return True  # refused as it was spoken before
            elif name in _OTHER_NAMES and name not in meant:
                self._renamed[name] = _OTHER_NAMES[name]
                return True
            elif name in _WITHOUT and body[name] == _WITHOUT[name]:
                self._left_out.add(name)
                return True
        if _STOP in body and said.names_parameter(_STOP):
            self._left_out.add(_STOP)
            return True
        return False

    def refused(self, said: ErrorBody) -> str | None:
        """Find the parameter that a server does not take and that the user may leave out.

        Args:
            said: What the server said.

        Returns:
            Its name in OpenAI's terms; None if the error is about something else.
        """
        name = next(iter(said.unknown_parameters(_OMITTED)), None)
        return "seed" if name == "random_seed" else name
