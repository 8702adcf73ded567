"""One training loop for every network here: resumable, averaged, on one process or several.

Each process computes the gradient of its own part of the batch and all apply the mean, so that the
processes stay equal. What a step draws is keyed by (seed, step, process): an interrupted training
goes on where it stopped. The rate is constant after a warm-up and falls to zero over the last part,
so that the end may be moved while it runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from maquette.store import whole_file
from maquette.toybox.muon import Muon

__all__ = ["Plan", "Team", "train_stage"]


@dataclass(frozen=True)
class Plan:
    """How long and how fast one network is trained.

    Attributes:
        name: the stage, also the name of its checkpoint.
        steps: optimiser steps.
        batch: pictures of a step and process.
        rate: the learning rate after the warm-up.
        warmup: steps over which the rate rises.
        cooldown: share of the steps, at the end, over which the rate falls to zero.
        average: decay of the weights' moving average.
        every: steps between checkpoints, each with a line in the log.
        muon: Muon instead of AdamW.
    """

    name: str
    steps: int
    batch: int
    rate: float
    warmup: int = 200
    cooldown: float = 0.3
    average: float = 0.999
    every: int = 250
    muon: bool = False

    def rate_at(self, step: int) -> float:
        """The learning rate of ``step``."""
        left = (self.steps - step) / max(self.cooldown * self.steps, 1)
        return self.rate * min(1.0, (step + 1) / self.warmup, max(left, 0.01))


@dataclass(frozen=True)
class Team:
    """The processes that train together, and where.

    Attributes:
        rank: number of this process.
        size: how many there are.
        device: ``cpu`` or ``cuda``.
        folder: where checkpoints and logs are written.
    """

    rank: int
    size: int
    device: str
    folder: Path

    def mean_(self, gradients: list[Tensor]) -> None:
        """Replace gradients by their mean over all processes, in place."""
        if self.size == 1:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(flat)
        flat /= self.size
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def draws(self, seed: int, step: int) -> np.random.Generator:
        """The random numbers of this process for one step."""
        key = np.array([seed, step * 64 + self.rank], np.uint64)
        return np.random.Generator(np.random.Philox(key=key))


def train_stage(
    plan: Plan,
    network: nn.Module,
    loss: Callable[[np.random.Generator, int], Tensor],
    team: Team,
    *,
    seed: int,
    look: Callable[[nn.Module, int], dict[str, float]] | None = None,
) -> nn.Module:
    """Train ``network`` and return its moving average.

    Goes on from the stage's checkpoint in the team's folder where there is one.

    Args:
        plan: how long and how fast.
        network: with its first weights, on the team's device; it is changed.
        loss: the mean loss of a fresh batch, from random numbers and the step.
        team: the processes that train together.
        seed: of every draw.
        look: called with the averaged network at every checkpoint, to write samples and to measure;
            what it returns goes into the log.

    Returns:
        ``network``, holding the average.
    """
    optimiser = optimiser_of(plan, network)
    averaged = {name: value.detach().clone() for name, value in network.state_dict().items()}
    path = team.folder / f"{plan.name}.safetensors"
    met = plan.batch * team.size
    step, samples = _load(path, network, optimiser, averaged, met) if path.exists() else (0, 0)
    losses, started, first = [], time.monotonic(), step
    while step < plan.steps:
        for group in optimiser.param_groups:
            group["lr"] = plan.rate_at(step)
        optimiser.zero_grad(set_to_none=True)
        value = loss(team.draws(seed, step), step)
        value.backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        team.mean_(gradients)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step, samples = step + 1, samples + met
        _average(averaged, network, min(plan.average, (1 + step) / (10 + step)))
        losses.append(float(value.detach()))
        if step % plan.every == 0 or step == plan.steps:
            if team.rank == 0:
                _save(path, network, optimiser, averaged, {"step": step, "samples": samples})
                speed = (step - first) * met / (time.monotonic() - started)
                seen = {} if look is None else _with(network, averaged, look, step)
                _log(team.folder, plan, step, samples, float(np.mean(losses)), speed, seen)
            losses = []
    network.load_state_dict(averaged)
    return network.eval()


def optimiser_of(plan: Plan, network: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that a plan names."""
    if plan.muon:
        return Muon(network, plan.rate)
    return torch.optim.AdamW(network.parameters(), lr=plan.rate, betas=(0.9, 0.99))


def _average(averaged: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                averaged[name].lerp_(value, 1 - decay)
            else:
                averaged[name].copy_(value)


def _with(
    network: nn.Module,
    weights: dict[str, Tensor],
    look: Callable[[nn.Module, int], dict[str, float]],
    step: int,
) -> dict[str, float]:
    kept = {name: value.detach().clone() for name, value in network.state_dict().items()}
    network.load_state_dict(weights)
    with torch.no_grad():
        answer = look(network.eval(), step)
    network.load_state_dict(kept)
    network.train().requires_grad_(True)
    return answer


def _log(
    folder: Path,
    plan: Plan,
    step: int,
    samples: int,
    loss: float,
    speed: float,
    seen: dict[str, float],
) -> None:
    line: dict[str, Any] = {
        "stage": plan.name,
        "step": step,
        "samples": samples,
        "loss": round(loss, 5),
        **{name: round(value, 5) for name, value in seen.items()},
        "samples_per_second": round(speed, 1),
        "unix_time": round(time.time()),
    }
    with (folder / "training.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    measured = "".join(f"{name} {value:.4f}  " for name, value in seen.items())
    print(
        f"{plan.name:6s} step {step:6d} of {plan.steps}  loss {loss:.4f}  {measured}"
        f"{speed:.0f} samples/s  {plan.rate_at(step):.1e}",
        flush=True,
    )


def _save(
    path: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    averaged: dict,
    counts: dict[str, int],
) -> None:
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in averaged.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
    with whole_file(path) as temporary:
        save_file(
            {name: value.contiguous().clone() for name, value in tensors.items()},
            temporary,
            metadata={name: str(count) for name, count in counts.items()},
        )


def _load(
    path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, averaged: dict, met: int
) -> tuple[int, int]:
    """Put a checkpoint's tensors where the fresh ones are; return its step, and samples so far.

    They are copied into place, so that devices and memory layouts stay what they were: another
    layout would change the order of a sum and with it the last bits.
    """
    from safetensors import safe_open

    tensors = load_file(path)
    network.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("network.")})
    for name, value in averaged.items():
        value.copy_(tensors[f"average.{name}"])
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, index, name = key.split(".", 2)
            if name != "step":
                value = torch.empty_like(parameters[int(index)].detach()).copy_(value)
            state.setdefault(int(index), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    with safe_open(path, framework="pt") as file:
        counts = file.metadata() or {}
    step = int(counts["step"])
    # Batches may change between two sessions; a checkpoint that does not tell knew one size only.
    return step, int(counts.get("samples", step * met))
