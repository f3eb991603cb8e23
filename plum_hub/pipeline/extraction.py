"""Which program is judged of a sample."""

from dataclasses import replace

from plum_hub.answers.code import EXTRACTION, extract_code
from plum_hub.answers.effects import names_in
from plum_hub.answers.entry import needed_code
from plum_hub.recipe import Recipe
from plum_hub.records import Sample, TestCase, TestSuite

_REDUCED = f"{EXTRACTION}, examples removed"


def extraction_of(recipe: Recipe) -> str:
    """Name the rules by which a recipe's programs are found in answers.

    Args:
        recipe: A sealed recipe.

    Returns:
        The version of the rules, which is part of a verdict's id.
    """
    return _REDUCED if recipe.samples.prompt == "evalplus" else EXTRACTION


def program_of(text: str, suite: TestSuite, extraction: str) -> str | None:
    """Extract the program of an answer.

    An answer to EvalPlus' words is judged as EvalPlus does: without the assertions and prints that a model puts behind
    its program. A program with a wrong one would not load, and carry no label. One that breaks off within a function
    carries none: what EvalPlus makes of it, the lines before, was not the answer.

    Args:
        text: The answer.
        suite: The suite, which names what the program has to define.
        extraction: What `extraction_of` returned.

    Returns:
        Python source, which need not parse; None if there is no code.
    """
    code = extract_code(text, suite.entry_point or None)
    if code is None or extraction != _REDUCED:
        return code
    used = frozenset[str]().union(*map(_names, suite.cases))
    return needed_code(code, suite.entry_point or None, used, whole=True)


def extracted(sample: Sample, suite: TestSuite, extraction: str) -> Sample:
    """Extract the program of a sample by the rules of this version.

    Args:
        sample: The sample.
        suite: Its suite.
        extraction: What `extraction_of` returned.

    Returns:
        The sample with the program that is found in its text.
    """
    if sample.extraction == extraction:
        return sample
    return replace(sample, code=program_of(sample.text, suite, extraction), extraction=extraction)


def _names(case: TestCase) -> set[str]:
    source = case.call or case.statement
    return names_in(source) if source else set()
