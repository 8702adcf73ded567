"""Any Stable-Diffusion-class prior, from a folder in the diffusers layout.

The folder holds ``unet``, ``vae``, ``text_encoder``, ``tokenizer`` and ``scheduler``. Components are
loaded by classes named here, from safetensors and JSON only and never from the network: what
``model_index.json`` names is not run. The embedded prior is one such folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from maquette.errors import PriorError
from maquette.noise import NoiseSchedule
from maquette.priors.base import Prior
from maquette.records import Condition, Render, Views

__all__ = ["StableDiffusion"]


class StableDiffusion(Prior):
    """A latent diffusion model with one text encoder.

    Args:
        unet, vae, text_encoder, tokenizer: diffusers and transformers modules.
        schedule: the training noise schedule.
        prediction_type: what the U-Net's head gives: ``epsilon``, ``v_prediction`` or ``sample``.
        name: what reports call it.
    """

    def __init__(
        self,
        unet: Any,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        schedule: NoiseSchedule,
        prediction_type: str,
        name: str,
    ) -> None:
        if prediction_type not in ("epsilon", "v_prediction", "sample"):
            raise PriorError(f"The prior {name} predicts {prediction_type!r}, which is not known")
        self.unet, self.vae = unet.eval().requires_grad_(False), vae.eval().requires_grad_(False)
        self.text_encoder, self.tokenizer = text_encoder.eval().requires_grad_(False), tokenizer
        self.schedule, self.prediction_type, self.name = schedule, prediction_type, name
        side = int(unet.config.sample_size)
        self.latent_shape = (int(unet.config.in_channels), side, side)
        self.image_size = side * _downscale(vae)
        self.scaling_factor = float(vae.config.scaling_factor)
        self._texts: dict[str, Tensor] = {}

    @staticmethod
    def load(
        folder: Path | str,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> StableDiffusion:
        """Load a diffusers-layout folder; float32 on the CPU and float16 on CUDA by default.

        Raises:
            PriorError: where a part is missing, damaged or of a class that is not known.
        """
        folder = Path(folder)
        dtype = dtype or (torch.float32 if torch.device(device).type == "cpu" else torch.float16)
        try:
            parts = _load_parts(folder, dtype)
        except (OSError, ValueError, KeyError, RuntimeError) as fault:
            first_line = (str(fault).strip() or type(fault).__name__).splitlines()[0]
            raise PriorError(
                f"The prior in {folder} cannot be loaded: {first_line.rstrip('.')}",
                "Give a folder in the diffusers layout with safetensors weights",
            ) from fault
        schedule, prediction_type = _load_schedule(folder)
        for key in ("unet", "vae", "text_encoder"):
            parts[key].to(device)
        return StableDiffusion(
            **parts, schedule=schedule, prediction_type=prediction_type, name=folder.name
        )

    @property
    def device(self) -> torch.device:
        """Where the networks live."""
        return next(self.unet.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the U-Net computes in."""
        return next(self.unet.parameters()).dtype

    def encode(self, images: Tensor) -> Tensor:
        """Latents of pictures of any size; they are resized to ``image_size`` first.

        The mean of the posterior is taken, not a sample: noise is the objective's business.
        """
        pictures = images.permute(0, 3, 1, 2)
        if pictures.shape[-1] != self.image_size or pictures.shape[-2] != self.image_size:
            pictures = interpolate(
                pictures, (self.image_size, self.image_size), mode="bilinear", antialias=True
            )
        encoded = self.vae.encode((pictures * 2 - 1).to(next(self.vae.parameters()).dtype))
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mean
        return latents.float() * self.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Pictures ``[B, H, W, 3]`` in [0, 1] of latents ``[B, C, h, w]``."""
        scaled = (latents / self.scaling_factor).to(next(self.vae.parameters()).dtype)
        pictures = self.vae.decode(scaled).sample.float()
        return (pictures / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)

    @torch.no_grad()
    def predict(self, noised: Tensor, t: Tensor, conditions: Sequence[Condition]) -> Tensor:
        count, batch = len(conditions), noised.shape[0]
        words = torch.cat([condition.embedding for condition in conditions]).to(self.dtype)
        stacked = noised.repeat(count, 1, 1, 1).to(self.dtype)
        # A clean latent (t = -1) is asked about at the schedule's first step.
        times = t.clamp_min(0).repeat(count).to(self.device)
        head = self.unet(stacked, times, encoder_hidden_states=words, return_dict=False)[0]
        head = head.to(noised.dtype).reshape(count, batch, *self.latent_shape)
        return torch.stack([self._eps(noised, part, t.clamp_min(0)) for part in head])

    @torch.no_grad()
    def condition(
        self, texts: Sequence[str], views: Views | None = None, render: Render | None = None
    ) -> Condition:
        fresh = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if fresh:
            ids = self.tokenizer(
                fresh,
                padding="max_length",
                max_length=self.tokenizer.model_max_length,
                truncation=True,
                return_tensors="pt",
            ).input_ids.to(self.device)
            states = self.text_encoder(ids).last_hidden_state
            self._texts.update(zip(fresh, states, strict=True))
        return Condition(torch.stack([self._texts[text] for text in texts]))

    def fingerprint(self) -> dict[str, str]:
        return {
            **super().fingerprint(),
            "prediction_type": self.prediction_type,
            "scaling_factor": f"{self.scaling_factor:.6g}",
        }

    def _eps(self, noised: Tensor, head: Tensor, t: Tensor) -> Tensor:
        if self.prediction_type == "v_prediction":
            return self.schedule.eps_from_v(noised, head, t)
        if self.prediction_type == "sample":
            return self.schedule.eps_from_clean(noised, head, t)
        return head


def _load_parts(folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    # The narrow modules are imported, because the packages' roots import every pipeline.
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    encoders = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}
    safe = {"use_safetensors": True, "local_files_only": True, "torch_dtype": dtype}
    kind = json.loads((folder / "vae" / "config.json").read_text())["_class_name"]
    if kind not in encoders:
        raise ValueError(f"its autoencoder is a {kind}; known are {', '.join(encoders)}")
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", **safe)
    if torch.device("cpu") == unet.device:
        from diffusers.models.attention_processor import AttnProcessor

        # Written-out attention is faster than the fused one on a CPU at these sizes.
        unet.set_attn_processor(AttnProcessor())
    text = {"use_safetensors": True, "local_files_only": True, "dtype": dtype}
    return {
        "unet": unet,
        "vae": encoders[kind].from_pretrained(folder / "vae", **safe),
        "text_encoder": CLIPTextModel.from_pretrained(folder / "text_encoder", **text),
        "tokenizer": CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
    }


def _load_schedule(folder: Path) -> tuple[NoiseSchedule, str]:
    path = folder / "scheduler" / "scheduler_config.json"
    try:
        config = json.loads(path.read_text())
        steps, kind = int(config["num_train_timesteps"]), config["beta_schedule"]
        start, end = float(config["beta_start"]), float(config["beta_end"])
    except (OSError, ValueError, KeyError) as fault:
        raise PriorError(f"The noise schedule {path} cannot be read: {fault}") from fault
    if config.get("rescale_betas_zero_snr"):
        raise PriorError(
            f"The schedule {path} rescales to zero terminal SNR, which is not supported",
            "Use a checkpoint with a plain scaled_linear or linear schedule",
        )
    if kind == "scaled_linear":
        schedule = NoiseSchedule.scaled_linear(steps, start, end)
    elif kind == "linear":
        betas = torch.linspace(start, end, steps, dtype=torch.float64)
        schedule = NoiseSchedule.from_alphas_cumprod(torch.cumprod(1 - betas, dim=0))
    else:
        raise PriorError(f"The schedule {path} is {kind!r}; known are scaled_linear and linear")
    return schedule, str(config.get("prediction_type", "epsilon"))


def _downscale(vae: Any) -> int:
    channels = vae.config.get("block_out_channels") or vae.config.encoder_block_out_channels
    return 2 ** (len(channels) - 1)
