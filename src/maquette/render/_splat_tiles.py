"""Tiles: which splats a tile sees, the pass over its pixels, and the way back (Numba kernels).

Splats are walked in depth order and dropped into the lists of the tiles that they touch: a stable
counting sort, so that the lists come out in depth order without sorting pairs. A tile is one work
item. Its backward pass writes each splat's sums to a slot that belongs to this splat and this tile
alone, so no two threads ever add to the same number.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maquette.render._splat_lanes import WIDTH
from maquette.render._splat_pixels import (
    CENTRE_X,
    CENTRE_Y,
    EXTENT_X,
    EXTENT_Y,
    HALF_XX,
    HALF_YY,
    INVERSE_YY,
    LEAN,
    REACH,
    TILE,
    XY,
    blend_splat,
    next_item,
    unblend_splat,
)
from maquette.render._splat_project import OPTIONS, SLACK, UNSEEN

__all__ = ["blend_tiles", "count_tiles", "fill_tiles", "unblend_tiles"]


@njit(**OPTIONS)
def count_tiles(rects, views, tiles_x, tiles_y, slots, starts):
    """Where each splat's slots and each tile's list begin; returns the number of pairs."""
    count, tiles = rects.shape[0] // views, tiles_x * tiles_y
    starts[:] = 0
    pairs = 0
    for b in range(views):
        for at in range(b * count, (b + 1) * count):
            slots[at] = pairs
            left, top, right, bottom = rects[at, 0], rects[at, 1], rects[at, 2], rects[at, 3]
            if right == 0:
                continue
            pairs += (right - left) * (bottom - top)
            for row in range(top, bottom):
                for column in range(left, right):
                    starts[b * tiles + row * tiles_x + column + 1] += 1
    slots[views * count] = pairs
    for tile in range(views * tiles):
        starts[tile + 1] += starts[tile]
    return pairs


@njit(**OPTIONS)
def fill_tiles(sorted_keys, rects, tiles_x, tiles_y, slots, starts, pairs):
    """Write ``(splat, slot)`` into the tiles' lists, from near to far."""
    views, count = sorted_keys.shape
    tiles = tiles_x * tiles_y
    ends = starts[:-1].copy()
    for b in range(views):
        for rank in range(count):
            key = sorted_keys[b, rank]
            if key == UNSEEN:
                break
            at = b * count + np.int64(key & np.uint64(0xFFFFFFFF))
            slot = slots[at]
            for row in range(rects[at, 1], rects[at, 3]):
                for column in range(rects[at, 0], rects[at, 2]):
                    tile = b * tiles + row * tiles_x + column
                    pairs[ends[tile], 0] = at
                    pairs[ends[tile], 1] = slot
                    ends[tile] += 1
                    slot += 1


@njit(**OPTIONS)
def plan_columns(record, left, top, columns, rows, work):
    """Cut a splat's part of a tile into columns; returns their number, 0 where it misses.

    ``work`` gets, for each column, its left end, first row and last row + 1, inside the tile. The
    rows are those of the ellipse over just this column: its upper edge is highest at the ellipse's
    own top or, if that lies outside the column, at the nearer side.
    """
    x = record[CENTRE_X] - np.float32(left) - np.float32(0.5)
    y = record[CENTRE_Y] - np.float32(top) - np.float32(0.5)
    first = max(np.ceil(x - record[EXTENT_X]), np.float32(0))
    last = min(np.floor(x + record[EXTENT_X]), np.float32(columns - 1))
    above = max(np.ceil(y - record[EXTENT_Y]), np.float32(0))
    below = min(np.floor(y + record[EXTENT_Y]), np.float32(rows - 1))
    if not (first <= last and above <= below):
        return 0, x, y
    number = (np.int64(last) - np.int64(first)) // WIDTH + 1
    begin = min(np.int64(first), TILE - number * WIDTH)
    if number == 1:
        work[0, 0], work[0, 1], work[0, 2] = begin, np.int64(above), np.int64(below) + 1
        return 1, x, y
    for column in range(number):
        at = begin + column * WIDTH
        low, high = max(np.float32(at), first) - x, min(np.float32(at + WIDTH - 1), last) - x
        bottom_x = min(max(record[LEAN], low), high)
        top_x = min(max(-record[LEAN], low), high)
        bottom, up = edge(record, bottom_x, np.float32(1)), edge(record, top_x, np.float32(-1))
        work[column, 0] = at
        work[column, 1] = np.int64(max(np.ceil(y + up), above))
        work[column, 2] = np.int64(min(np.floor(y + bottom), below)) + 1
    return number, x, y


@njit(**OPTIONS)
def edge(record, dx, side):
    """The offset dy of the ellipse's lower (side 1) or upper (-1) edge at dx, with some slack."""
    half = record[XY] * dx
    room = half * half - np.float32(4) * record[HALF_YY] * (record[HALF_XX] * dx * dx - record[REACH])
    root = np.sqrt(max(room, np.float32(0)))
    return (side * root - half) * record[INVERSE_YY] + side * SLACK


@njit(**OPTIONS)
def tile_place(tile, tiles_x, tiles_y, size):
    """View, left, top, and the columns and rows of a tile that lie in the picture."""
    view, rest = tile // (tiles_x * tiles_y), tile % (tiles_x * tiles_y)
    left, top = rest % tiles_x * TILE, rest // tiles_x * TILE
    return view, left, top, min(TILE, size[0] - left), min(TILE, size[1] - top)


@njit(**OPTIONS)
def blend_tiles(
    counter, channels, tiles_x, tiles_y, size, starts, pairs, records, max_alpha, features, alpha
):
    """Render tiles into ``features [B, H, W, D]`` and ``alpha [B, H, W]``."""
    planes = np.empty((TILE, 1 + len(channels), TILE), np.float32)
    work = np.empty((TILE // WIDTH, 3), np.int64)
    while True:
        tile = next_item(counter)
        if tile >= starts.shape[0] - 1:
            return
        view, left, top, columns, rows = tile_place(tile, tiles_x, tiles_y, size)
        planes[:, 0] = 1
        planes[:, 1:] = 0
        for pair in range(starts[tile], starts[tile + 1]):
            record = records[pairs[pair, 0]]
            number, x, y = plan_columns(record, left, top, columns, rows, work)
            if number > 0:
                start = pairs[pair, 0] * records.shape[1]
                blend_splat(channels, planes, work, number, records, start, x, y, max_alpha)
        for row in range(rows):
            for column in range(columns):
                alpha[view, top + row, left + column] = np.float32(1) - abs(planes[row, 0, column])
                for k in range(len(channels)):
                    features[view, top + row, left + column, k] = planes[row, 1 + k, column]


@njit(**OPTIONS)
def unblend_tiles(
    counter, channels, tiles_x, tiles_y, size, starts, pairs, records, max_alpha, features, alpha,
    g_features, g_alpha, sums,
):  # fmt: skip
    """Walk the tiles again and leave every splat's sums in its slots."""
    planes = np.zeros((TILE, 3 + len(channels), TILE), np.float32)
    work = np.empty((TILE // WIDTH, 3), np.int64)
    while True:
        tile = next_item(counter)
        if tile >= starts.shape[0] - 1:
            return
        view, left, top, columns, rows = tile_place(tile, tiles_x, tiles_y, size)
        # Lanes beyond the picture must not add to the sums: their T of 0 keeps every weight at 0.
        planes[:] = 0
        for row in range(rows):
            for column in range(columns):
                y, x = top + row, left + column
                light = g_alpha[view, y, x] * alpha[view, y, x]
                for k in range(len(channels)):
                    light += g_features[view, y, x, k] * features[view, y, x, k]
                    planes[row, 3 + k, column] = g_features[view, y, x, k]
                planes[row, 0, column] = 1
                planes[row, 1, column] = light
                planes[row, 2, column] = g_alpha[view, y, x]
        for pair in range(starts[tile], starts[tile + 1]):
            at, slot = pairs[pair, 0], pairs[pair, 1]
            number, x, y = plan_columns(records[at], left, top, columns, rows, work)
            unblend_splat(
                channels, planes, work, number, records, at * records.shape[1], x, y, max_alpha,
                sums, slot * sums.shape[1],
            )  # fmt: skip
