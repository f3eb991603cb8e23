"""The licence of a dataset whose sources have several: the strictest one, because its rows contain their texts.

The order follows the licences' own summaries and is meant for the card; it is not legal advice.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class _Licence:
    """A licence that the Hub knows."""

    id: str
    """Its identifier on the Hub."""
    strictness: int
    """Its rank among the licences of this module; higher is stricter."""
    asks: str
    """What it requires, as a phrase for the card."""
    share_alike: bool = False
    """Whether derived works must have the same licence."""


OTHER = "other"
"""The Hub's identifier for terms that are unknown, or that are not one of its licences."""

_KNOWN = {
    licence.id: licence
    for licence in (
        _Licence("cc0-1.0", 0, "nothing"),
        _Licence("mit", 1, "keep the licence text"),
        _Licence("bsd-3-clause", 1, "keep the licence text"),
        _Licence("apache-2.0", 2, "keep the licence and notices, state changes"),
        _Licence("cc-by-4.0", 3, "name the authors, state changes"),
        _Licence("cc-by-sa-4.0", 4, "name the authors, same licence for what is derived", share_alike=True),
        _Licence("cc-by-nc-4.0", 5, "name the authors, non-commercial use only"),
        _Licence(
            "cc-by-nc-sa-4.0",
            6,
            "name the authors, non-commercial use only, same licence for what is derived",
            share_alike=True,
        ),
    )
}


def _find(name: str | None) -> _Licence | None:
    """Find a licence by its name, in any spelling ("CC BY-NC-SA 4.0"); None if it is not one of those here."""
    return None if name is None else _KNOWN.get("-".join(name.lower().split()))


@dataclass(frozen=True)
class InheritedLicence:
    """The licence of a work that is derived from several sources."""

    id: str
    """Its identifier on the Hub."""
    why: str
    """The reason, as a sentence for the card."""


def inherited(names: Iterable[str | None]) -> InheritedLicence:
    """Find the licence of a work from those of its sources.

    Args:
        names: The licence that each source states; None for a source that states none.

    Returns:
        The strictest of them, or `other` where one is unknown or no single licence satisfies all of them.
    """
    stated = list(names)
    licences = [licence for name in stated if (licence := _find(name)) is not None]
    strictest = max(licences, key=lambda licence: licence.strictness, default=None)
    if strictest is None or len(licences) < len(stated):
        others = "" if strictest is None else f" The strictest of the others asks: {strictest.asks}."
        return InheritedLicence(
            OTHER,
            "The terms of at least one source are not known, so no licence can be given for the whole: "
            f"ask the sources before you use it.{others}",
        )
    if any(licence.share_alike and licence.id != strictest.id for licence in licences):
        return InheritedLicence(
            OTHER, "Two sources ask for different licences of what is derived from them: each row keeps its source's."
        )
    which = "the strictest of the sources' licences" if len(set(licences)) > 1 else "the licence of every source"
    return InheritedLicence(strictest.id, f"It is {which}, and asks: {strictest.asks}.")
