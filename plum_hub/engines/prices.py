"""What tokens cost. List prices are in `prices.yaml`, with their date."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class TokenPrices(NamedTuple):
    """US dollars for a million tokens."""

    input: float
    """Of prompts."""
    output: float
    """Of answers, generated tokens that the server does not show included."""
    cached_input: float
    """Of those tokens of prompts that the server had in its cache."""

    def cost(self, prompt: int, completion: int, cached: int = 0) -> float:
        """Price tokens.

        Args:
            prompt: Tokens of prompts, cached ones included.
            completion: Generated tokens.
            cached: Tokens of prompts that the server had in its cache.

        Returns:
            US dollars.
        """
        return ((prompt - cached) * self.input + cached * self.cached_input + completion * self.output) / 1e6

    def times(self, factor: float) -> "TokenPrices":
        """Scale the prices.

        Args:
            factor: Such as 0.5 for half the price.

        Returns:
            New prices.
        """
        return TokenPrices(self.input * factor, self.output * factor, self.cached_input * factor)


FREE = TokenPrices(0.0, 0.0, 0.0)
"""The price of a model on this machine."""


@cache
def list_prices() -> Mapping[str, TokenPrices]:
    """Read the list prices of OpenAI's own models.

    Returns:
        Prices by the name of the model; a model that is not in it has no known price.
    """
    import yaml

    text = files("plum_hub.engines").joinpath("prices.yaml").read_text(encoding="utf-8")
    return {model: TokenPrices(**prices) for model, prices in yaml.safe_load(text)["models"].items()}
