"""Finishes: what a caption can say of an object's surface and size beyond its colours."""

from dataclasses import replace

from maquette.records import Rgb
from maquette.toybox.shapes import CHECKERED, PLAIN, SPOTTED, STRIPED, Primitive

__all__ = ["MATERIALS", "PATTERNS", "SIZES", "finished", "marks_on"]

PATTERNS: dict[str, int] = {"striped": STRIPED, "spotted": SPOTTED, "checkered": CHECKERED}
MATERIALS: dict[str, float] = {"matte": 0.0, "shiny": 0.85}
SIZES: dict[str, float] = {"small": 0.7, "big": 1.0}
"""Shares of an object's usual size; one that is not told has 0.95."""
USUAL_SIZE = 0.95


def marks_on(rgb: Rgb) -> Rgb:
    """The colour of a pattern's marks: of the same hue, much paler, or for pale ones darker."""
    luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
    if luma > 0.6:
        return (0.45 * rgb[0], 0.45 * rgb[1], 0.45 * rgb[2])
    return (0.35 * rgb[0] + 0.63, 0.35 * rgb[1] + 0.63, 0.35 * rgb[2] + 0.63)


def finished(
    primitives: list[Primitive], first: Rgb, pattern: str = "", material: str = ""
) -> list[Primitive]:
    """An object with a pattern on all its parts of the first colour, and a material on all parts.

    Args:
        primitives: of the object.
        first: its first colour.
        pattern: a word of ``PATTERNS``, or none.
        material: a word of ``MATERIALS``, or none for the usual, which is matte.
    """
    kind = PATTERNS.get(pattern, PLAIN)
    shine = MATERIALS.get(material, 0.0)
    return [
        replace(
            part,
            pattern=kind if part.colour == first else PLAIN,
            pattern_colour=marks_on(part.colour),
            shine=shine,
        )
        for part in primitives
    ]
