"""Vectors of neighbouring pixels, written like numbers.

Numba compiles scalar loops, and whether LLVM turns a ten-pixel loop into vector instructions is a
matter of luck. Here the luck is taken out: a ``Lanes`` stands for a vector register of ``WIDTH``
float32 numbers, its operators emit the matching vector instruction, and plain Python that adds and
multiplies such objects is thereby a program that writes the inner loop. Every host takes it: where
registers are narrower, LLVM splits the vectors.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils

__all__ = [
    "WIDTH",
    "Builder",
    "Index",
    "Lanes",
    "Pointer",
    "Total",
    "Value",
    "repeat",
    "sum_across",
]


Builder = Any  # llvmlite.ir.IRBuilder, which carries no type hints,
Value = Any  # and llvmlite.ir.Value, its numbers.


def _widest() -> int:
    features = llvmlite.binding.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8


WIDTH = _widest()
FLOAT, INT32, INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, WIDTH)


class Lanes:
    """A vector of ``WIDTH`` float32 numbers in the program that is being written."""

    def __init__(self, builder: Builder, value: Value) -> None:
        self.builder, self.value = builder, value

    @staticmethod
    def spread(builder: Builder, scalar: Value) -> Lanes:
        """One scalar in all lanes."""
        first = builder.insert_element(
            ir.Constant(VECTOR, ir.Undefined), scalar, ir.Constant(INT32, 0)
        )
        zeros = ir.Constant(ir.VectorType(INT32, WIDTH), [0] * WIDTH)
        return Lanes(builder, builder.shuffle_vector(first, first, zeros))

    @staticmethod
    def constant(builder: Builder, *values: float) -> Lanes:
        """One number in all lanes, or one number for each."""
        if len(values) == 1:
            values = values * WIDTH
        return Lanes(builder, ir.Constant(VECTOR, [float(value) for value in values]))

    def _lift(self, other: Lanes | float) -> Value:
        return other.value if isinstance(other, Lanes) else self.constant(self.builder, other).value

    def __add__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, self.builder.fadd(self.value, self._lift(other)))

    def __sub__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, self.builder.fsub(self.value, self._lift(other)))

    def __rsub__(self, other: float) -> Lanes:
        return Lanes(self.builder, self.builder.fsub(self._lift(other), self.value))

    def __mul__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, self.builder.fmul(self.value, self._lift(other)))

    def __truediv__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, self.builder.fdiv(self.value, self._lift(other)))

    def __gt__(self, other: Lanes | float) -> Value:
        return self.builder.fcmp_ordered(">", self.value, self._lift(other))

    def __le__(self, other: Lanes | float) -> Value:
        return self.builder.fcmp_ordered("<=", self.value, self._lift(other))

    def times_plus(self, factor: Lanes | float, term: Lanes | float) -> Lanes:
        """``self * factor + term``, in one rounding where the machine can."""
        arguments = [self.value, self._lift(factor), self._lift(term)]
        return self._intrinsic("llvm.fmuladd", arguments)

    def magnitude(self) -> Lanes:
        """Absolute values."""
        return self._intrinsic("llvm.fabs", [self.value])

    def where(self, condition: Value, other: Lanes | float) -> Lanes:
        """Own lanes where the condition holds, those of ``other`` elsewhere."""
        return Lanes(self.builder, self.builder.select(condition, self.value, self._lift(other)))

    def _intrinsic(self, name: str, arguments: list[Value]) -> Lanes:
        signature = ir.FunctionType(VECTOR, [VECTOR] * len(arguments))
        function = cgutils.get_or_insert_function(
            self.builder.module, signature, f"{name}.v{WIDTH}f32"
        )
        return Lanes(self.builder, self.builder.call(function, arguments))


class Index:
    """A 64-bit integer in the program that is being written."""

    def __init__(self, builder: Builder, value: Value | int) -> None:
        self.builder = builder
        self.value = ir.Constant(INT64, value) if isinstance(value, int) else value

    def __add__(self, other: Index | int) -> Index:
        return Index(self.builder, self.builder.add(self.value, self._lift(other)))

    def __mul__(self, other: Index | int) -> Index:
        return Index(self.builder, self.builder.mul(self.value, self._lift(other)))

    def _lift(self, other: Index | int) -> Value:
        return Index(self.builder, other).value if isinstance(other, int) else other.value


class Pointer:
    """An address in an array of float32 or int64 numbers."""

    def __init__(self, builder: Builder, address: Value) -> None:
        self.builder, self.address = builder, address

    def __add__(self, steps: Index | int) -> Pointer:
        index = Index(self.builder, 0)._lift(steps)
        return Pointer(self.builder, self.builder.gep(self.address, [index]))

    def load(self) -> Lanes:
        """``WIDTH`` numbers from here on, which need not be aligned."""
        pointer = self.builder.bitcast(self.address, VECTOR.as_pointer())
        return Lanes(self.builder, self.builder.load(pointer, align=4))

    def store(self, lanes: Lanes) -> None:
        """Write ``WIDTH`` numbers from here on."""
        pointer = self.builder.bitcast(self.address, VECTOR.as_pointer())
        self.builder.store(lanes.value, pointer, align=4)

    def spread(self) -> Lanes:
        """The number here, in all lanes."""
        return Lanes.spread(self.builder, self.builder.load(self.address))

    def index(self) -> Index:
        """The integer here."""
        return Index(self.builder, self.builder.load(self.address))

    def put(self, scalar: Value) -> None:
        """Write one number."""
        self.builder.store(scalar, self.address)


class Total:
    """A vector that is summed up over the turns of a loop, and lives in a register."""

    def __init__(self, builder: Builder) -> None:
        self.builder, self.place = builder, cgutils.alloca_once(builder, VECTOR)
        self.set(Lanes.constant(builder, 0.0))

    def set(self, lanes: Lanes) -> None:
        """Start again from a value."""
        self.builder.store(lanes.value, self.place)

    @property
    def now(self) -> Lanes:
        """The sum so far."""
        return Lanes(self.builder, self.builder.load(self.place))

    def add_product(self, a: Lanes, b: Lanes) -> None:
        """Add ``a * b``."""
        self.set(a.times_plus(b, self.now))

    def add(self, a: Lanes) -> None:
        """Add ``a``."""
        self.set(self.now + a)


def repeat(builder: Builder, begin: Index, end: Index):
    """``with repeat(builder, begin, end) as i``: the loop over ``begin <= i < end``."""
    return _Loop(builder, begin, end)


class _Loop:
    def __init__(self, builder: Builder, begin: Index, end: Index) -> None:
        self.builder = builder
        self.loop = cgutils.for_range_slice(
            builder, begin.value, end.value, ir.Constant(INT64, 1), INT64
        )

    def __enter__(self) -> Index:
        return Index(self.builder, self.loop.__enter__()[0])

    def __exit__(self, *details: Any) -> None:
        self.loop.__exit__(*details)


def sum_across(vectors: list[Lanes]) -> list[Lanes]:
    """The sums over the lanes of many vectors, packed in order into the lanes of few.

    Two half-summed vectors share one register at every level of the tree, so that ``WIDTH`` sums
    cost hardly more additions than one. The order of additions is fixed.
    """
    packed = []
    for first in range(0, len(vectors), WIDTH):
        group = vectors[first : first + WIDTH]
        block = WIDTH
        while block > 1:
            if len(group) % 2 and len(group) > 1:
                group = [*group, Lanes.constant(group[0].builder, 0.0)]
            group = [
                _fold(group[i], group[min(i + 1, len(group) - 1)], block)
                for i in range(0, len(group), 2)
            ]
            block //= 2
        packed.append(group[0])
    return packed


def _fold(a: Lanes, b: Lanes, block: int) -> Lanes:
    """Halve the blocks of partial sums in two vectors, and pack both into one."""
    builder = a.builder
    lanes = range(2 * WIDTH)
    halves = []
    for half in (0, 1):
        chosen = [lane for lane in lanes if (lane % block) // (block // 2) == half]
        mask = ir.Constant(ir.VectorType(INT32, WIDTH), chosen)
        halves.append(Lanes(builder, builder.shuffle_vector(a.value, b.value, mask)))
    return halves[0] + halves[1]
