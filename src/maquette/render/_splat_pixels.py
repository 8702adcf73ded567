"""The two inner loops of the splat renderer: one splat over the pixels of one tile.

A tile keeps its state row by row as planes of ``TILE`` floats: forward the transmittance T and the
blended channels, backward T, the light R still behind, and the gradients of alpha and channels. A
splat is swept in columns of ``WIDTH`` pixels, each with its own range of rows.

With s = sigma - ln(opacity), the splat's alpha is exp(-s), and s <= ln 255 is where it is drawn.
Both loops compute alpha and T by the same instructions, so that the backward pass never disagrees
with the forward pass on which splats a pixel has seen. A finished pixel has a negative T.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from maquette.render._splat_lanes import (
    WIDTH,
    Builder,
    Index,
    Lanes,
    Pointer,
    Total,
    Value,
    repeat,
    sum_across,
)
from maquette.render.splat_torch import MIN_ALPHA, MIN_TRANSMITTANCE

__all__ = ["FAINTEST", "TILE", "blend_splat", "next_item", "unblend_splat"]

TILE = 64  # Pixels along a side: few splats are cut, and the state fits the second cache.
FAINTEST = -math.log(MIN_ALPHA)  # The largest s that is drawn.
SHARE = 8  # exp(-s) is the 8th power of a polynomial for exp(-s / 8).
_POLYNOMIAL = np.polynomial.Chebyshev.interpolate(
    lambda s: np.exp(-s / SHARE), 5, domain=[0.0, FAINTEST]
).convert(kind=np.polynomial.Polynomial)

# The fields of a splat's record, in float32; its channels follow at FIELDS. Centres are split into
# whole pixels and the rest, so that a large picture does not cost digits. The matrix L = ((XX, 0),
# (YX, YY)) whitens: with (e, u) = L (dx, dy), sigma = e^2 + u^2, a sum that cancels no digits.
PIXEL_X, PIXEL_Y, REST_X, REST_Y, WHITE_XX, WHITE_YX, WHITE_YY, FAINTNESS = range(8)
EXTENT_X, EXTENT_Y, LEAN, INVERSE_YY, REACH, FIELDS = range(8, 14)

# An intrinsic's parameters are types, to be matched by name; the values come as ``arguments``.
# ruff: noqa: ARG001
emitted: Any = intrinsic

_log = logging.getLogger("maquette.render")
_announced = False


def _announce() -> None:
    """Tell once that the user waits for the compiler; this runs only where no cache answered."""
    global _announced
    if not _announced:
        _announced = True
        _log.warning("compiling the CPU renderer, once; this takes some seconds")


@emitted
def next_item(_typing_context, counter):
    """Take the next work item: add one to ``counter[0]`` atomically and return its old value."""
    _announce()

    def write(context, builder, signature, arguments):
        place = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), write


class _Splat:
    """A splat's record, spread over lanes."""

    def __init__(self, record: Pointer, channels: int) -> None:
        fields = (WHITE_XX, WHITE_YX, WHITE_YY, FAINTNESS)
        self.xx, self.yx, self.yy, self.faintness = ((record + field).spread() for field in fields)
        self.channels = [(record + FIELDS + k).spread() for k in range(channels)]


class _Column:
    """What of s(dx, dy) stays the same over a column of pixels, where dx is fixed."""

    def __init__(self, splat: _Splat, left: Lanes, x: Lanes) -> None:
        dx = left + Lanes.constant(left.builder, *range(WIDTH)) - x
        self.splat = splat
        self.e = splat.xx * dx
        self.constant = self.e.times_plus(self.e, splat.faintness)
        self.start = splat.yx * dx

    def row(self, dy: Lanes) -> tuple[Lanes, Lanes]:
        """u and s along the row at ``dy``; s = 0 is opaque, s = FAINTEST the last that is drawn."""
        u = self.splat.yy.times_plus(dy, self.start)
        return u, u.times_plus(u, self.constant)


def _power(s: Lanes) -> Lanes:
    """exp(-s) for 0 <= s <= FAINTEST, to 1e-6; anything at all elsewhere."""
    *lower, top = (float(c) for c in _POLYNOMIAL.coef)
    power = Lanes.constant(s.builder, top)
    for coefficient in reversed(lower):
        power = power.times_plus(s, coefficient)
    for _ in range(SHARE.bit_length() - 1):
        power = power * power
    return power


def _blend_pixels(
    s: Lanes, transmittance: Lanes, max_alpha: Lanes
) -> tuple[Lanes, Lanes, Lanes, Lanes]:
    """Weight, alpha and unclamped alpha of a splat (0 where not drawn), and the T behind it."""
    power = _power(s)
    alpha = power.where(power <= max_alpha, max_alpha).where(s <= FAINTEST, 0.0)
    weight = alpha * transmittance
    behind = transmittance - weight
    unfinished = behind > MIN_TRANSMITTANCE
    behind = behind.where(unfinished, Lanes.constant(s.builder, 0.0) - transmittance.magnitude())
    return weight.where(unfinished, 0.0), alpha.where(unfinished, 0.0), power, behind


class _Sweep:
    """The loop nest that both passes share: columns of a splat, rows of a column.

    The work list holds three integers a column: its left end inside the tile, its first row and the
    row after its last.
    """

    def __init__(self, builder: Builder, planes: Pointer, work: Pointer, count: int) -> None:
        self.builder, self.planes, self.work = builder, planes, work
        self.row_length = count * TILE

    def columns(self, number: Value) -> Any:
        return repeat(self.builder, Index(self.builder, 0), Index(self.builder, number))

    def bounds(self, column: Index) -> tuple[Index, Index, Index]:
        left, first, after = ((self.work + column * 3 + i).index() for i in range(3))
        return left, first, after

    def pixels(self, left: Index, row: Index) -> Pointer:
        return self.planes + (row * self.row_length + left)

    def lanes(self, index: Index) -> Lanes:
        number = self.builder.sitofp(index.value, ir.FloatType())
        return Lanes.spread(self.builder, number)


def _pointers(context: Any, builder: Builder, signature: Any, arguments: Any) -> list[Any]:
    """Arrays become pointers to their first element; scalars stay."""
    found = []
    for kind, value in zip(signature.args, arguments, strict=True):
        if isinstance(kind, types.Array):
            found.append(Pointer(builder, context.make_array(kind)(context, builder, value).data))
        else:
            found.append(value)
    return found


@emitted
def blend_splat(_typing_context, channels, planes, work, number, records, start, x, y, max_alpha):
    """Blend one splat into a tile: ``number`` columns of ``work``, its record at ``start``.

    ``x`` and ``y`` are its centre, counted from the centre of the tile's first pixel.
    """

    def write(context, builder, signature, arguments):
        _, planes, work, number, records, start, x, y, max_alpha = _pointers(
            context, builder, signature, arguments
        )
        count = channels.count
        splat = _Splat(records + Index(builder, start), count)
        x, y, limit = (Lanes.spread(builder, scalar) for scalar in (x, y, max_alpha))
        sweep = _Sweep(builder, planes, work, 1 + count)
        with sweep.columns(number) as column:
            left, first, after = sweep.bounds(column)
            form = _Column(splat, sweep.lanes(left), x)
            with repeat(builder, first, after) as row:
                pixels = sweep.pixels(left, row)
                _, s = form.row(sweep.lanes(row) - y)
                weight, _, _, behind = _blend_pixels(s, pixels.load(), limit)
                pixels.store(behind)
                for k, colour in enumerate(splat.channels):
                    plane = pixels + TILE * (1 + k)
                    plane.store(weight.times_plus(colour, plane.load()))
        return context.get_dummy_value()

    scalars = (types.float32,) * 3
    kinds = (channels, planes, work, types.int64, records, types.int64, *scalars)
    return types.void(*kinds), write


@emitted
def unblend_splat(
    _typing_context, channels, planes, work, number, records, start, x, y, max_alpha, sums, slot
):
    """Walk past one splat again, from front to back, and write its sums from ``sums[slot]`` on.

    With w the weight, g the gradient of the pixel's channels, c the splat's and R the light that is
    still behind it (<g, channels behind>), the gradient of alpha times alpha is
    v = w <g, c> - R alpha / (1 - alpha). The sums are those of v, v e, v u, v e^2, v e u and v u^2,
    then of w g for each channel.
    """

    def write(context, builder, signature, arguments):
        _, planes, work, number, records, start, x, y, max_alpha, sums, slot = _pointers(
            context, builder, signature, arguments
        )
        count = channels.count
        splat = _Splat(records + Index(builder, start), count)
        x, y, limit = (Lanes.spread(builder, scalar) for scalar in (x, y, max_alpha))
        totals = [Total(builder) for _ in range(6)]
        of_channels = [Total(builder) for _ in range(count)]
        of_rows = [Total(builder) for _ in range(3)]
        sweep = _Sweep(builder, planes, work, 3 + count)
        with sweep.columns(number) as column:
            left, first, after = sweep.bounds(column)
            form = _Column(splat, sweep.lanes(left), x)
            for total in of_rows:
                total.set(Lanes.constant(builder, 0.0))
            with repeat(builder, first, after) as row:
                pixels = sweep.pixels(left, row)
                u, s = form.row(sweep.lanes(row) - y)
                weight, alpha, power, behind = _blend_pixels(s, pixels.load(), limit)
                pixels.store(behind)
                gain = (pixels + TILE * 2).load()
                for k, (colour, total) in enumerate(zip(splat.channels, of_channels, strict=True)):
                    gradient = (pixels + TILE * (3 + k)).load()
                    gain = gradient.times_plus(colour, gain)
                    total.add_product(weight, gradient)
                gain = weight * gain
                light = (pixels + TILE).load() - gain
                (pixels + TILE).store(light)
                v = (gain - light * (alpha / (1.0 - alpha))).where(power <= limit, 0.0)
                of_rows[0].add(v)
                of_rows[1].add_product(v, u)
                of_rows[2].add_product(v * u, u)
            _close_column(totals, of_rows, form.e)
        packed = sum_across([total.now for total in totals + of_channels])
        for i, lanes in enumerate(packed):
            (sums + Index(builder, slot) + i * WIDTH).store(lanes)
        return context.get_dummy_value()

    scalars = (types.float32,) * 3
    kinds = (channels, planes, work, types.int64, records, types.int64, *scalars)
    return types.void(*kinds, sums, types.int64), write


def _close_column(totals: list[Total], of_rows: list[Total], e: Lanes) -> None:
    """Turn a column's sums of v, v u and v u^2 into the six of the splat: e was constant."""
    v, v_u, v_uu = (total.now for total in of_rows)
    v_e = v * e
    totals[0].add(v)
    totals[1].add(v_e)
    totals[2].add(v_u)
    totals[3].add_product(v_e, e)
    totals[4].add_product(v_u, e)
    totals[5].add(v_uu)
