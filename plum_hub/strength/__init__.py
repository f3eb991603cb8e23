"""The strength of test suites: mutation score, coverage, how well they tell samples apart, and cases that add to it."""

from plum_hub.strength.choice import SampledProgram
from plum_hub.strength.discrimination import SuiteDiscrimination, discrimination
from plum_hub.strength.measure import measure
from plum_hub.strength.mutation import Mutant, mutants
from plum_hub.strength.strengthen import WeakSuite, strengthen

__all__ = [
    "Mutant",
    "SampledProgram",
    "SuiteDiscrimination",
    "WeakSuite",
    "discrimination",
    "measure",
    "mutants",
    "strengthen",
]
