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


_OTHERS = """
afl-3.0 agpl-3.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
bigscience-openrail-m bsd bsd-2-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0
cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nd-4.0
cc-by-sa-3.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license
ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 gemma gfdl gpl gpl-2.0 gpl-3.0 intel-research isc lgpl
lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mpl-2.0 ms-pl ncsa odbl
odc-by ofl-1.1 openrail openrail++ osl-3.0 pddl postgresql unlicense wtfpl zlib
"""
"""The Hub's other identifiers: nothing here says which of two of them asks for more."""
_NOT_RANKED = frozenset(_OTHERS.split())


def _spelled(name: str | None) -> str | None:
    """Return the identifier that a name means, in any spelling ("CC BY-NC-SA 4.0"); None where it tells no terms."""
    found = "-".join((name or "").lower().split())
    return None if found in ("", OTHER, "unknown") else found


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
        The strictest of them, or the one that all state; `other` where one is unknown or no single licence satisfies
        all of them.
    """
    stated = [_spelled(name) for name in names]
    licences = [_KNOWN[name] for name in stated if name in _KNOWN]
    if len(set(stated)) == 1 and stated[0] in _NOT_RANKED:
        return InheritedLicence(stated[0], "It is the licence of every source. Read there what it asks.")
    strictest = max(licences, key=lambda licence: licence.strictness, default=None)
    if strictest is None or len(licences) < len(stated):
        return InheritedLicence(OTHER, _unknown(stated, strictest))
    if any(licence.share_alike and licence.id != strictest.id for licence in licences):
        return InheritedLicence(
            OTHER, "Two sources ask for different licences of what is derived from them: each row keeps its source's."
        )
    which = "the strictest of the sources' licences" if len(set(licences)) > 1 else "the licence of every source"
    return InheritedLicence(strictest.id, f"It is {which}, and asks: {strictest.asks}.")


def _unknown(stated: list[str | None], strictest: _Licence | None) -> str:
    """Return why no licence follows from those of the sources, as sentences for the card."""
    others = sorted({name for name in stated if name is not None and name not in _KNOWN})
    why = [f"plum-hub does not compare the terms of {', '.join(others)} with others'."] if others else []
    if not others or None in stated:
        why.append("The terms of at least one source are not known.")
    why.append("So no licence can be given for the whole: ask the sources before you use it.")
    if strictest is not None:
        why.append(f"The strictest of the others asks: {strictest.asks}.")
    return " ".join(why)
