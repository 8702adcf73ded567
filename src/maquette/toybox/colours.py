"""The twelve colour words of the toy world and the sRGB values they stand for.

The values are far enough apart that shading, which only darkens a colour to a bit more than half,
does not turn one word's colour into another's.
"""

__all__ = ["COLOURS", "Rgb", "contrasting"]

Rgb = tuple[float, float, float]

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
