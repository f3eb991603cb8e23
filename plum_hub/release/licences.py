"""Which licence a dataset has whose instructions come under several: the strictest, since its rows hold their texts.

This is a reading of the licences' own summaries, for the card; it is no legal advice.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Licence:
    """A licence by its name on the Hub, how strict it is among those here, and what it asks for."""

    id: str
    strictness: int
    asks: str
    share_alike: bool = False


OTHER = "other"
"""The Hub's word for terms that are none of its licences, or are not known."""

_KNOWN = {
    licence.id: licence
    for licence in (
        Licence("cc0-1.0", 0, "nothing"),
        Licence("mit", 1, "keep the licence text"),
        Licence("bsd-3-clause", 1, "keep the licence text"),
        Licence("apache-2.0", 2, "keep the licence and notices, state changes"),
        Licence("cc-by-4.0", 3, "name the authors, state changes"),
        Licence("cc-by-sa-4.0", 4, "name the authors, same licence for what is derived", share_alike=True),
        Licence("cc-by-nc-4.0", 5, "name the authors, non-commercial use only"),
        Licence(
            "cc-by-nc-sa-4.0",
            6,
            "name the authors, non-commercial use only, same licence for what is derived",
            share_alike=True,
        ),
    )
}


def known(name: str | None) -> Licence | None:
    """The licence that `name` means, in whatever spelling ("CC BY-NC-SA 4.0"), or None."""
    return None if name is None else _KNOWN.get("-".join(name.lower().split()))


@dataclass(frozen=True)
class Inherited:
    """The licence of the whole, by its name on the Hub, and why it is this one, as a sentence."""

    id: str
    why: str


def inherited(names: Iterable[str | None]) -> Inherited:
    """The strictest of the sources' licences; `other` where one is not known, or where no licence meets them all."""
    stated = list(names)
    licences = [licence for name in stated if (licence := known(name)) is not None]
    strictest = max(licences, key=lambda licence: licence.strictness, default=None)
    if strictest is None or len(licences) < len(stated):
        others = "" if strictest is None else f" The strictest of the others asks: {strictest.asks}."
        return Inherited(
            OTHER,
            "The terms of at least one source are not known, so no licence can be given for the whole: "
            f"ask the sources before you use it.{others}",
        )
    if any(licence.share_alike and licence.id != strictest.id for licence in licences):
        return Inherited(
            OTHER, "Two sources ask for different licences of what is derived from them: each row keeps its source's."
        )
    which = "the strictest of the sources' licences" if len(set(licences)) > 1 else "the licence of every source"
    return Inherited(strictest.id, f"It is {which}, and asks: {strictest.asks}.")
