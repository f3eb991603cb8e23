"""The strength of test suites: mutation score, coverage, and how well they tell samples apart."""

from plum_hub.strength.discrimination import SuiteDiscrimination, discrimination
from plum_hub.strength.measure import measure
from plum_hub.strength.mutation import Mutant, mutants

__all__ = ["Mutant", "SuiteDiscrimination", "discrimination", "measure", "mutants"]
