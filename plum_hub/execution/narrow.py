"""Floats of numpy with fewer bits than Python's, outside a jail: from numpy 2 on, `np.float32(0.1) == 0.1`."""

import math
import struct
from typing import Any


def _rounded(code: str, number: float) -> float:
    try:
        return float(struct.unpack(code, struct.pack(code, number))[0])
    except OverflowError:
        return math.inf if number > 0 else -math.inf


class Narrow(float):
    """A `float32` or `float16`: a number of Python beside it is rounded to as many bits, as numpy does.

    Args:
        code: Its code in `struct`: `f` or `e`.
        value: Its value.
    """

    code: str

    def __new__(cls, code: str, value: float) -> "Narrow":
        """Make the number."""
        made = super().__new__(cls, _rounded(code, value))
        made.code = code
        return made

    def _rounded(self, other: Any) -> Any:
        if isinstance(other, Narrow):
            return float(other)
        return _rounded(self.code, other) if isinstance(other, int | float) else other

    def __eq__(self, other: object) -> bool:
        """Compare with what the other one is rounded to, as all comparisons do."""
        return bool(float(self) == self._rounded(other))

    def __ne__(self, other: object) -> bool:
        """Compare; see `__eq__`."""
        return bool(float(self) != self._rounded(other))

    def __lt__(self, other: Any) -> bool:
        """Compare; see `__eq__`."""
        return bool(float(self) < self._rounded(other))

    def __le__(self, other: Any) -> bool:
        """Compare; see `__eq__`."""
        return bool(float(self) <= self._rounded(other))

    def __gt__(self, other: Any) -> bool:
        """Compare; see `__eq__`."""
        return bool(float(self) > self._rounded(other))

    def __ge__(self, other: Any) -> bool:
        """Compare; see `__eq__`."""
        return bool(float(self) >= self._rounded(other))

    def __sub__(self, other: Any) -> Any:
        """Subtract what the other one is rounded to."""
        return float(self) - self._rounded(other)

    def __rsub__(self, other: Any) -> Any:
        """Subtract from what the other one is rounded to."""
        return self._rounded(other) - float(self)

    __hash__ = float.__hash__
