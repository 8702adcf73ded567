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
    EXTENT_X,
    EXTENT_Y,
    INVERSE_YY,
    LEAN,
    PIXEL_X,
    PIXEL_Y,
    REACH,
    REST_X,
    REST_Y,
    TILE,
    WHITE_XX,
    WHITE_YX,
    blend_splat,
    next_item,
    unblend_splat,
)
from maquette.render._splat_project import OPTIONS, SLACK

__all__ = ["blend_tiles", "fill_tiles", "order_views", "unblend_tiles"]


DIGIT = 11  # Bits that one pass of the depth sort looks at; three passes see all of a float32.


@njit(**OPTIONS)
def order_views(counter, rects, depths, tiles_x, counts, order, seen, spans):
    """Per view: tiles per splat, splats per tile, and what is seen, from near to far."""
    views, count = order.shape
    spare = np.empty(count, np.int32)
    histogram = np.empty(1 << DIGIT, np.int64)
    while True:
        b = next_item(counter)
        if b >= views:
            return
        counts[b] = 0
        number = 0
        for i in range(count):
            at = b * count + i
            left, top, right, bottom = rects[at, 0], rects[at, 1], rects[at, 2], rects[at, 3]
            spans[at] = (right - left) * (bottom - top) if right > 0 else 0
            if right == 0:
                continue
            order[b, number] = i
            number += 1
            for row in range(top, bottom):
                for column in range(left, right):
                    counts[b, row * tiles_x + column] += 1
        seen[b] = number
        keys = depths[b * count : (b + 1) * count].view(np.uint32)
        sort_pass(keys, order[b], spare, number, 0, histogram)
        sort_pass(keys, spare, order[b], number, DIGIT, histogram)
        sort_pass(keys, order[b], spare, number, 2 * DIGIT, histogram)
        order[b, :number] = spare[:number]


@njit(**OPTIONS)
def sort_pass(keys, source, target, number, shift, histogram):
    """A stable pass of a radix sort of ids by the bits of depths, which order like depths."""
    mask = np.uint32((1 << DIGIT) - 1)
    histogram[:] = 0
    for rank in range(number):
        histogram[(keys[source[rank]] >> np.uint32(shift)) & mask] += 1
    before = 0
    for digit in range(histogram.shape[0]):
        histogram[digit], before = before, before + histogram[digit]
    for rank in range(number):
        digit = (keys[source[rank]] >> np.uint32(shift)) & mask
        target[histogram[digit]] = source[rank]
        histogram[digit] += 1


@njit(**OPTIONS)
def fill_tiles(counter, order, seen, rects, tiles_x, slots, starts, pairs):
    """Write ``(splat, slot)`` into the lists of each view's tiles, from near to far."""
    views, count = order.shape
    tiles = (starts.shape[0] - 1) // views
    while True:
        b = next_item(counter)
        if b >= views:
            return
        ends = starts[b * tiles : (b + 1) * tiles].copy()
        for rank in range(seen[b]):
            at = b * count + order[b, rank]
            slot = slots[at]
            for row in range(rects[at, 1], rects[at, 3]):
                for column in range(rects[at, 0], rects[at, 2]):
                    tile = row * tiles_x + column
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
    x = (record[PIXEL_X] - np.float32(left)) + (record[REST_X] - np.float32(0.5))
    y = (record[PIXEL_Y] - np.float32(top)) + (record[REST_Y] - np.float32(0.5))
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
    e = record[WHITE_XX] * dx
    root = np.sqrt(max(record[REACH] - e * e, np.float32(0)))
    return (side * root - record[WHITE_YX] * dx) * record[INVERSE_YY] + side * SLACK


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
        is_asked = False
        for row in range(rows):
            for column in range(columns):
                y, x = top + row, left + column
                light = g_alpha[view, y, x] * alpha[view, y, x]
                is_asked |= g_alpha[view, y, x] != 0
                for k in range(len(channels)):
                    light += g_features[view, y, x, k] * features[view, y, x, k]
                    planes[row, 3 + k, column] = g_features[view, y, x, k]
                    is_asked |= g_features[view, y, x, k] != 0
                planes[row, 0, column] = 1
                planes[row, 1, column] = light
                planes[row, 2, column] = g_alpha[view, y, x]
        for pair in range(starts[tile], starts[tile + 1]):
            at, slot = pairs[pair, 0], pairs[pair, 1]
            if not is_asked:
                # As in all other views where gradients are wanted view by view.
                sums[slot] = 0
                continue
            number, x, y = plan_columns(records[at], left, top, columns, rows, work)
            unblend_splat(
                channels, planes, work, number, records, at * records.shape[1], x, y, max_alpha,
                sums, slot * sums.shape[1],
            )  # fmt: skip
