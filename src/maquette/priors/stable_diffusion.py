"""Any Stable-Diffusion-class prior, from a folder in the diffusers layout.

The folder holds ``unet``, ``vae``, ``text_encoder``, ``tokenizer`` and ``scheduler``. These are
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
from maquette.priors.loading import FAULTS, cannot_load, class_named, load_module, load_tokenizer
from maquette.records import Condition, Render, Views

__all__ = ["StableDiffusion"]

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
LARGEST_WRITTEN_OUT = 32
"""Up to this latent side written-out attention is faster than the fused one on a CPU; its memory
grows with the fourth power of the side."""


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
        side = _sides(unet)[0]
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
        """Load a diffusers-layout folder.

        Args:
            folder: on disk; nothing is fetched.
            device: where the networks go.
            dtype: what they compute in; by default float32 on the CPU and float16 elsewhere.

        Raises:
            PriorError: where a part is missing, damaged or of a class that is not known, or the
                parts do not fit each other.
        """
        folder, device = Path(folder), torch.device(device)
        for part in PARTS:
            if not (folder / part).is_dir():
                raise cannot_load(folder, f"it has no folder {part}")
        dtype = dtype or (torch.float32 if device.type == "cpu" else torch.float16)
        schedule, prediction_type = _load_schedule(folder)
        parts = _load_parts(folder, device, dtype)
        _check_fit(folder, **parts)
        name = folder.resolve().name
        return StableDiffusion(
            **parts, schedule=schedule, prediction_type=prediction_type, name=name
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

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures of latents; clamped to [0, 1], so beyond black or white there is no gradient."""
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
        for text in dict.fromkeys(texts):
            if text not in self._texts:
                # One by one: in a batch the last bits of a text would depend on its neighbours, and
                # a resumed run meets the texts in another order.
                self._texts[text] = self.text_encoder(self._ids(text)).last_hidden_state[0]
        return Condition(torch.stack([self._texts[text] for text in texts]))

    def fingerprint(self) -> dict[str, str]:
        return {
            **super().fingerprint(),
            "prediction_type": self.prediction_type,
            "scaling_factor": f"{self.scaling_factor:.6g}",
        }

    def _ids(self, text: str) -> Tensor:
        """Token numbers ``[1, L]``."""
        return self.tokenizer(
            [text],
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids.to(self.device)

    def _eps(self, noised: Tensor, head: Tensor, t: Tensor) -> Tensor:
        if self.prediction_type == "v_prediction":
            return self.schedule.eps_from_v(noised, head, t)
        if self.prediction_type == "sample":
            return self.schedule.eps_from_clean(noised, head, t)
        return head


def _load_parts(folder: Path, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    # The narrow modules are imported, because the packages' roots import every pipeline.
    from diffusers.models.attention_processor import AttnProcessor
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextModel

    encoders = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}
    kind = class_named(folder / "vae")
    if kind not in encoders:
        raise cannot_load(
            folder / "vae", f"its class is {kind}, and known are {', '.join(encoders)}"
        )
    unet = load_module(UNet2DConditionModel, folder / "unet", torch_dtype=dtype)
    vae = load_module(encoders[kind], folder / "vae", torch_dtype=dtype)
    text_encoder = load_module(CLIPTextModel, folder / "text_encoder", dtype=dtype)
    tokenizer = load_tokenizer(folder / "tokenizer")
    # A tokenizer that was saved without its limit would pad every text to a billion tokens.
    longest = text_encoder.config.max_position_embeddings
    tokenizer.model_max_length = min(tokenizer.model_max_length, longest)
    if device.type == "cpu" and max(_sides(unet)) <= LARGEST_WRITTEN_OUT:
        unet.set_attn_processor(AttnProcessor())
    modules = {"unet": unet, "vae": vae, "text_encoder": text_encoder}
    return {**{name: part.to(device) for name, part in modules.items()}, "tokenizer": tokenizer}


def _check_fit(folder: Path, unet: Any, vae: Any, text_encoder: Any, tokenizer: Any) -> None:
    """Raise PriorError where the parts cannot work together in the one way that is known here."""
    if unet.config.addition_embed_type or unet.config.class_embed_type:
        raise cannot_load(folder, "its U-Net wants more than one text encoder's words, as SDXL's")
    if len(set(_sides(unet))) != 1 or _sides(unet)[0] < 1:
        raise cannot_load(folder, f"its U-Net has the sample size {unet.config.sample_size}")
    channels = (unet.config.in_channels, unet.config.out_channels, vae.config.latent_channels)
    if len(set(channels)) != 1:
        raise cannot_load(folder, f"U-Net and autoencoder have latents of {channels} channels")
    width, wanted = text_encoder.config.hidden_size, unet.config.cross_attention_dim
    if width != wanted:
        raise cannot_load(folder, f"the U-Net wants texts of width {wanted}, and gets {width}")
    if len(tokenizer) > text_encoder.config.vocab_size:
        raise cannot_load(folder, "its tokenizer has more tokens than the text encoder knows")


def _sides(unet: Any) -> tuple[int, ...]:
    """Height and width of the latents; the configuration holds one number or two."""
    side = unet.config.sample_size or 0
    return (side, side) if isinstance(side, int) else tuple(side)


def _load_schedule(folder: Path) -> tuple[NoiseSchedule, str]:
    path = folder / "scheduler" / "scheduler_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        steps, kind = int(config["num_train_timesteps"]), config["beta_schedule"]
        start, end = float(config["beta_start"]), float(config["beta_end"])
        unusual = [k for k in ("trained_betas", "rescale_betas_zero_snr") if config.get(k)]
    except FAULTS as fault:
        raise PriorError(f"The noise schedule {path} cannot be read: {fault}") from fault
    if unusual:
        raise PriorError(
            f"The schedule {path} sets {unusual[0]}, which is not supported",
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
