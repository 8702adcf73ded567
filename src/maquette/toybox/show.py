"""Contact sheets of the toy world."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from maquette.errors import InputError
from maquette.store import whole_file
from maquette.toybox.captions import VIEWS, caption, descriptions
from maquette.toybox.kinds import KINDS
from maquette.toybox.world import true_picture

__all__ = ["contact_sheet"]

_ANGLES_DEG = {"front": (15.0, 15.0), "side": (80.0, 15.0), "back": (195.0, 15.0)}
_ANGLES_DEG["overhead"] = (40.0, 65.0)


def contact_sheet(
    out: Path = Path("toybox.png"), seed: int = 0, size: int = 96, columns: int = 3
) -> str:
    """Write a PNG: one row per kind with its front, side, back and overhead views.

    Args:
        out: the PNG file; replaced whole or not at all.
        seed: selects each kind's colours and proportions.
        size: pixels per picture.
        columns: how many kinds stand side by side.

    Raises:
        InputError: for a size or a number of columns below 1.
        DiskError: the file cannot be written.
    """
    if min(size, columns) < 1:
        raise InputError(f"{columns} columns of {size} pixels show nothing", "Give at least 1")
    random = np.random.default_rng(seed)
    label, width = 14, len(VIEWS) * size
    rows = -(-len(KINDS) // columns)
    sheet = Image.new("RGB", (columns * (width + 6), rows * (size + label)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, kind in enumerate(KINDS):
        choices = [d for d in descriptions() if d.kind == kind]
        description = choices[random.integers(len(choices))]
        x, y = index % columns * (width + 6), index // columns * (size + label)
        draw.text((x + 2, y + 1), caption(description), fill="black")
        for step, view in enumerate(VIEWS):
            picture = true_picture(
                *(description, *_ANGLES_DEG[view], size, (0.80, 0.84, 0.88)), variation=seed
            )
            sheet.paste(Image.fromarray(picture), (x + step * size, y + label))
    with whole_file(Path(out), sheet.width * sheet.height * 3) as temporary:
        sheet.save(temporary, format="PNG")
    return str(out)
