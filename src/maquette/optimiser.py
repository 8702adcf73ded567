"""Adam over the named parameters of a scene (Kingma and Ba 2015, algorithm 1).

Learning rates come with each step, since a recipe resolves its ramps once per step. Scenes grow and
shrink; ``select`` lets the moments follow, and the rows that survive keep theirs to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor

from maquette.errors import CheckpointError, InputError
from maquette.ramps import Number
from maquette.scenes.base import Scene

__all__ = ["Adam"]

_KINDS = ("first", "second", "steps")


class Adam:
    """The optimiser of a run.

    Its state, per parameter: ``first`` and ``second`` moments in the parameter's shape, and the
    count of ``steps``, shared by all rows. Moments begin at 0 with the first step that moves a
    parameter.

    Args:
        betas: decay of the moments per step; INRIA's splatting code has (0.9, 0.999).
        eps: added to the root of the second moment; tiny, as gradients of score distillation are.

    Raises:
        InputError: for betas outside [0, 1) or an ``eps`` that is not above 0.
    """

    def __init__(self, betas: tuple[float, float] = (0.9, 0.99), eps: float = 1e-15) -> None:
        if not all(0.0 <= beta < 1.0 for beta in betas) or not eps > 0.0:
            raise InputError(
                f"Adam cannot work with betas {betas} and eps {eps}",
                "Give betas in [0, 1) and eps above 0",
            )
        self.betas, self.eps = betas, eps
        self._state: dict[str, dict[str, Tensor]] = {}

    @torch.no_grad()
    def step(self, scene: Scene, rates: Mapping[str, Number]) -> None:
        """Move the parameters named in ``rates`` against their gradients, then drop all gradients.

        Args:
            scene: its parameters change in place. One without a gradient stays, moments included.
            rates: learning rate by name. A parameter that is not named is held fixed.

        Raises:
            InputError: if a name is not a parameter of the scene.
        """
        parameters = scene.parameters()
        if unknown := sorted(set(rates) - set(parameters)):
            raise InputError(
                f"There are learning rates for {unknown}, which the scene does not have",
                f"Its parameters are {', '.join(parameters)}",
            )
        for name, rate in rates.items():
            gradient = parameters[name].grad
            if gradient is not None:
                # A recipe has resolved its ramps before a step.
                self._move(name, parameters[name], gradient, cast(float, rate))
        self.clear(scene)

    def clear(self, scene: Scene) -> None:
        """Drop all gradients, as a step that is skipped must do before the next one."""
        for parameter in scene.parameters().values():
            parameter.grad = None

    def _move(self, name: str, parameter: Tensor, gradient: Tensor, rate: float) -> None:
        state = self._state.get(name)
        if state is None:
            state = self._state[name] = {
                "first": torch.zeros_like(parameter, memory_format=torch.contiguous_format),
                "second": torch.zeros_like(parameter, memory_format=torch.contiguous_format),
                "steps": torch.zeros((), dtype=torch.int64),
            }
        beta1, beta2 = self.betas
        state["steps"] += 1
        steps = int(state["steps"])
        state["first"].lerp_(gradient, 1.0 - beta1)
        state["second"].mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
        root = (state["second"].sqrt() / (1.0 - beta2**steps) ** 0.5).add_(self.eps)
        parameter.addcdiv_(state["first"], root, value=-rate / (1.0 - beta1**steps))

    @torch.no_grad()
    def select(self, kept: Tensor, appended: int = 0) -> None:
        """Let the moments of all parameters follow a change of rows.

        Args:
            kept: int64 ``[M]`` indices of the rows that stay, in their new order. Their moments
                stay bitwise as they are; the step counts too.
            appended: number of new rows after those; their moments begin at 0.
        """
        for state in self._state.values():
            for kind in ("first", "second"):
                rows = state[kind].index_select(0, kept)
                fresh = rows.new_zeros(appended, *rows.shape[1:])
                state[kind] = torch.cat([rows, fresh])

    @torch.no_grad()
    def reset(self, names: Iterable[str]) -> None:
        """Set the moments of some parameters to 0, as after an opacity reset; steps go on."""
        for name in names:
            for kind in ("first", "second"):
                if name in self._state:
                    self._state[name][kind].zero_()

    def part(self, prefix: str) -> Adam:
        """The moments of the parameters whose names begin with ``prefix``, by the rest of the name.

        They are this optimiser's own: what ``select`` and ``reset`` do to the part is done here. It
        is no optimiser for steps, as moments that would begin in it would be its alone.
        """
        part = Adam(self.betas, self.eps)
        part._state = {
            name.removeprefix(prefix): state
            for name, state in self._state.items()
            if name.startswith(prefix)
        }
        return part

    def tensors(self) -> dict[str, Tensor]:
        """Copies of the state by ``name.kind``, as a checkpoint stores them."""
        return {
            f"{name}.{kind}": value.clone()
            for name, state in self._state.items()
            for kind, value in state.items()
        }

    def load_tensors(self, tensors: Mapping[str, Tensor], scene: Scene) -> None:
        """Put back the state of ``tensors()``, bitwise, for the parameters of ``scene``.

        Raises:
            CheckpointError: if a tensor is missing, unknown, of a wrong shape or dtype.
        """
        state: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            name, _, kind = key.rpartition(".")
            parameter = scene.parameters().get(name)
            if parameter is None or kind not in _KINDS:
                raise CheckpointError(f"The optimiser state {key!r} belongs to nothing here")
            like = torch.zeros((), dtype=torch.int64) if kind == "steps" else parameter
            if value.shape != like.shape or value.dtype != like.dtype:
                raise CheckpointError(
                    f"The optimiser state {key!r} is {value.dtype} {list(value.shape)}",
                    f"The scene needs {like.dtype} {list(like.shape)}",
                )
            state.setdefault(name, {})[kind] = value.detach().to(like.device, copy=True)
        for name, parts in state.items():
            if missing := sorted(set(_KINDS) - set(parts)):
                raise CheckpointError(f"The optimiser state of {name} lacks {missing}")
        self._state = state
