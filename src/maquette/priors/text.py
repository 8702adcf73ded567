"""Prompts that know where the camera stands, and the words of one step.

DreamFusion section 3.4: append "front view", "side view", "back view" or "overhead view" to the
prompt by the direction of each camera, and the prior draws each side as what it is.
"""

from __future__ import annotations

from maquette.camera import view_word
from maquette.priors.base import Prior
from maquette.records import Views, Words

__all__ = ["view_texts", "words_for"]


def view_texts(prompt: str, views: Views) -> list[str]:
    """One text per view: the prompt with its view word; an empty prompt stays empty."""
    if not prompt:
        return [""] * len(views)
    angles = zip(views.azimuth_deg.tolist(), views.elevation_deg.tolist(), strict=True)
    return [f"{prompt}, {view_word(azimuth, elevation)} view" for azimuth, elevation in angles]


def words_for(prior: Prior, prompt: str, negative_prompt: str, views: Views) -> Words:
    """The conditions that an objective may ask about, for the views of one step."""
    null = prior.condition([""] * len(views), views)
    negative = prior.condition([negative_prompt] * len(views), views) if negative_prompt else null
    return Words(prior.condition(view_texts(prompt, views), views), negative, null)
