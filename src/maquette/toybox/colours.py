"""The twelve colour words of the toy world and the sRGB values they stand for.

The values are far enough apart that shading, which only darkens a colour to a bit more than half,
does not turn one word's colour into another's.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from maquette.records import Rgb

__all__ = ["COLOURS", "clear_background", "contrasting", "shows_on"]

COLOURS: dict[str, Rgb] = {
    "red": (0.88, 0.09, 0.11),
    "orange": (1.00, 0.53, 0.04),
    "yellow": (0.99, 0.89, 0.12),
    "green": (0.12, 0.62, 0.20),
    "cyan": (0.14, 0.84, 0.88),
    "blue": (0.10, 0.24, 0.86),
    "purple": (0.52, 0.15, 0.70),
    "pink": (1.00, 0.58, 0.76),
    "brown": (0.43, 0.24, 0.11),
    "black": (0.12, 0.12, 0.13),
    "white": (0.97, 0.97, 0.97),
    "grey": (0.52, 0.52, 0.53),
}


def contrasting(rgb: Rgb) -> Rgb:
    """A dark or a light neutral, whichever shows better on ``rgb``; for eyes and windows."""
    luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
    return (0.10, 0.10, 0.13) if luma > 0.22 else (0.90, 0.92, 0.95)


def shows_on(background: Rgb | np.ndarray, colours: Sequence[Rgb]) -> bool:
    """Whether none of ``colours``, lit or shaded, would vanish on ``background``."""
    lit = np.array(colours).reshape(-1, 3)
    shades = np.concatenate([lit, 0.75 * lit])
    return not np.linalg.norm(shades - background, axis=1).min(initial=np.inf) < 0.25


def clear_background(words: Iterable[str]) -> Rgb:
    """White, or the first of some other colours on which no colour of ``words`` vanishes.

    The world's own pictures keep to the same rule: a prior and a judge that have never seen a white
    thing on white see a halo around it, or nothing.
    """
    colours = [COLOURS[word] for word in words]
    choices = [(1.0, 1.0, 1.0), (0.5, 0.5, 0.5), (0.0, 0.0, 0.0), *_PALE]
    return next((rgb for rgb in choices if shows_on(rgb, colours)), choices[0])


_PALE = ((0.75, 0.90, 0.70), (0.70, 0.80, 1.00), (0.95, 0.80, 0.60), (0.35, 0.35, 0.55))
