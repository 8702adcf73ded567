"""w(t): how much an objective listens to the prior at each noise level.

Every weight is a function of the signal-to-noise ratio alone, so that a variance-preserving prior
and a flow prior that describe the same model are weighted alike.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from maquette.errors import InputError
from maquette.noise import NoiseSchedule

__all__ = ["Weight", "weight_at"]

Weight = Literal["uniform", "sigma_squared", "rho"]
"""``uniform``: 1 (SJC). ``sigma_squared``: 1 - alpha bar (DreamFusion, threestudio).
``rho``: sigma / alpha (LucidDreamer), infinite and refused where no signal is left."""


def weight_at(name: Weight, schedule: NoiseSchedule, t: Tensor, like: Tensor) -> Tensor:
    """The weight at ``t`` ``[B]``, shaped ``[B, 1, ...]`` to multiply ``like`` ``[B, ...]``.

    Raises:
        InputError: for an unknown name.
        PriorError: for ``rho`` at a step without signal (zero terminal SNR).
    """
    alpha, sigma = schedule.alpha(t, like), schedule.sigma(t, like)
    if name == "uniform":
        return alpha.new_ones(alpha.shape)
    if name == "sigma_squared":
        # The division is by 1 for a variance-preserving schedule, and scales a flow to one.
        return sigma**2 / (alpha**2 + sigma**2)
    if name == "rho":
        return schedule.rho(t, like)
    raise InputError(f"There is no weight {name!r}", "Choose uniform, sigma_squared or rho")
