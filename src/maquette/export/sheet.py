"""Pictures as files: one as PNG, or many on one sheet with captions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from maquette.checks import finite
from maquette.errors import InputError
from maquette.store import whole_file

__all__ = ["contact_sheet", "cut_sheet", "to_uint8", "write_png"]

_INK, _PAPER = 0, 255
_TEXT_PIXELS = 12
_GAP = 2


def to_uint8(pictures: Tensor) -> np.ndarray:
    """Pictures ``[..., 3]`` in [0, 1] as bytes, rounded; what lies outside is cut.

    Raises:
        NumericalError: for a value that is not finite.
    """
    values = finite("picture", pictures).detach().cpu().clamp(0.0, 1.0)
    return (values * 255.0).round().byte().numpy()


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write one picture ``[H, W, 3]`` of bytes, whole or not at all.

    Raises:
        InputError: if it is no such picture.
        DiskError: if the file cannot be written.
    """
    from PIL import Image

    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise InputError(
            f"An array of {picture.dtype} {list(picture.shape)} is no picture",
            "Give uint8 [H, W, 3], as to_uint8 makes it",
        )
    with whole_file(Path(path), picture.nbytes) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")


def contact_sheet(
    pictures: np.ndarray,
    columns: int,
    *,
    row_captions: Sequence[str] = (),
    column_captions: Sequence[str] = (),
) -> np.ndarray:
    """Pictures row by row on white, with thin gaps; captions are cut where they do not fit.

    Args:
        pictures: uint8 ``[N, H, W, 3]``; the last row may stay incomplete.
        columns: pictures in a row.
        row_captions: one per row, above its pictures, or none.
        column_captions: one per column, on top of the sheet, or none.

    Returns:
        uint8 ``[H', W', 3]``.

    Raises:
        InputError: for no pictures, fewer than one column, or captions that do not match.
    """
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3 or columns < 1:
        raise InputError(
            f"{pictures.dtype} {list(pictures.shape)} in {columns} columns makes no sheet",
            "Give uint8 pictures [N, H, W, 3] and at least one column",
        )
    count, height, width = pictures.shape[:3]
    rows = -(-count // columns)
    if not pictures.size or len(row_captions) not in (0, rows):
        raise InputError(f"{len(row_captions)} captions do not fit {rows} rows of pictures")
    if len(column_captions) not in (0, columns):
        raise InputError(f"{len(column_captions)} captions do not fit {columns} columns")
    line = _TEXT_PIXELS + 2 * _GAP
    top = line if column_captions else 0
    band = line if row_captions else 0
    pitch_y, pitch_x = height + _GAP + band, width + _GAP
    sheet = np.full((top + rows * pitch_y - _GAP, columns * pitch_x - _GAP, 3), _PAPER, np.uint8)
    for index, picture in enumerate(pictures):
        y, x = top + (index // columns) * pitch_y + band, (index % columns) * pitch_x
        sheet[y : y + height, x : x + width] = picture
    for column, text in enumerate(column_captions):
        _write_text(sheet[:line, column * pitch_x :][:, :width], text)
    for row, text in enumerate(row_captions):
        _write_text(sheet[top + row * pitch_y :][:line], text)
    return sheet


def cut_sheet(sheet: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The pictures of a full sheet with a caption over each row: what ``contact_sheet`` was given.

    Args:
        sheet: uint8 ``[H', W', 3]``.
        rows: of pictures.
        columns: of pictures.

    Returns:
        uint8 ``[rows, columns, H, W, 3]``.

    Raises:
        InputError: no pictures of one size fill such a sheet.
    """
    line = _TEXT_PIXELS + 2 * _GAP
    pitch_y, rest_y = divmod(sheet.shape[0] + _GAP, rows)
    pitch_x, rest_x = divmod(sheet.shape[1] + _GAP, columns)
    height, width = pitch_y - _GAP - line, pitch_x - _GAP
    if rest_y or rest_x or height < 1 or width < 1:
        raise InputError(f"A sheet of {list(sheet.shape)} has no {rows} rows of {columns} pictures")
    padded = np.pad(sheet, ((0, _GAP), (0, _GAP), (0, 0)))
    cells = padded.reshape(rows, pitch_y, columns, pitch_x, 3).transpose(0, 2, 1, 3, 4)
    return cells[:, :, line : line + height, :width]


def _write_text(strip: np.ndarray, text: str) -> None:
    """Write into a white strip of a sheet, in place."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("L", (strip.shape[1], strip.shape[0]), _PAPER)
    # Pillow's own font needs no file, but without FreeType it knows Latin letters only.
    font = ImageFont.load_default()
    plain = " ".join(text.split()).encode("latin-1", "replace").decode("latin-1")
    ImageDraw.Draw(image).text((_GAP, _GAP), plain, fill=_INK, font=font)
    strip[:] = np.asarray(image)[:, :, None]
