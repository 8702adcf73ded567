"""The faults that the oracles must notice: each is one line, as a tired author might write it."""

from __future__ import annotations

from mutant_catalogue.foundations import FOUNDATIONS
from mutant_catalogue.mutant import Mutant
from mutant_catalogue.objectives import OBJECTIVES
from mutant_catalogue.parts import PARTS

__all__ = ["MUTANTS", "Mutant"]

MUTANTS = [*FOUNDATIONS, *OBJECTIVES, *PARTS]
