"""The networks that protocols name: where each comes from, and who stands in where none is.

A protocol says "OpenAI ViT-L/14". Here this becomes a folder on disk: one of the folder that the
user gives, named by a plain slug, or a snapshot in Hugging Face's cache. Nothing is downloaded: an
error about what is missing has the command that fetches it, and no command unpickles anything but
plain weights. Or the embedded judge stands in for every CLIP, and all that it measures says so.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maquette.errors import InputError, PriorError
from maquette.metrics.clip import Clip
from maquette.metrics.evaluate import described, judge_digest, packaged_judge
from maquette.metrics.lpips import SOURCES, Lpips
from maquette.metrics.preference import IMAGE_REWARD, PICK_SCORE, ImageReward, load_pick_score
from maquette.metrics.vqa import Asker
from maquette.metrics.weights import WEIGHTS, Source
from maquette.store import disk_errors
from maquette.toybox.captions import caption
from maquette.toybox.judge import Judge, distractors

__all__ = ["MODELS", "VIEW_CLASSIFIER", "Embedded", "Model", "Networks", "Stored"]

VIEW_CLASSIFIER = "a view classifier"
"""As a protocol calls it; ours is the judge's, in any case, and knows the toy world alone."""

USUAL_FOLDER = Path("models")
"""What commands name where no folder was given."""


@dataclass(frozen=True)
class Model:
    """One network that a protocol asks for."""

    slug: str
    """The name of its folder."""

    load: Callable[[Path], Any]
    """Reads that folder."""

    source: Source | str
    """Makes that folder: a source, or a command with ``{}`` where the folder stands."""

    repository: str = ""
    """On the hub, where the files of it are good as they are."""

    stand_in: str = ""
    """Its own name, where it stands in for one that no library of ours can load."""

    def command(self, folder: Path) -> str:
        """One line for a POSIX shell that makes this network's folder in ``folder``."""
        # In full, because a command may leave the shell in another folder.
        own = folder.resolve() / self.slug
        if isinstance(self.source, Source):
            return self.source.command(own)
        return self.source.format(shlex.quote(str(own)))


_READ = ("model*.safetensors", "*.json", "*.txt", "*.model")
"""The files that loaders read."""


def _hub(repository: str) -> str:
    """The command that fetches a repository's safetensors, and what describes them; no pickle."""
    include = " ".join(f"--include '{kind}'" for kind in _READ)
    return f"hf download {repository} {include} --local-dir {{}}"


def _of_hub(slug: str, load: Callable[[Path], Any], repository: str, stand_in: str = "") -> Model:
    return Model(slug, load, _hub(repository), repository, stand_in)


_CLIP_PARTS = ("text_model.", "vision_model.", "text_projection.", "visual_projection.", "logit_")
_CLIP_FILES = ("config.json", "preprocessor_config.json", "tokenizer.json", "vocab.json")


def _turned_over(slug: str, repository: str, *weights: str) -> Model:
    """A CLIP whose repository has no ``model.safetensors``: other files of its are turned over."""
    at = f"https://huggingface.co/{repository}/resolve/main"
    urls = tuple(f"{at}/{name}" for name in (*_CLIP_FILES, "merges.txt", *weights))
    return Model(slug, Clip.load, Source(urls, _CLIP_PARTS))


MODELS: dict[str, Model] = {
    "OpenAI ViT-B/32": _turned_over(
        "openai-vit-b-32", "openai/clip-vit-base-patch32", "pytorch_model.bin"
    ),
    "OpenAI ViT-B/16": _turned_over(
        "openai-vit-b-16", "openai/clip-vit-base-patch16", "pytorch_model.bin"
    ),
    "OpenAI ViT-L/14": _of_hub("openai-vit-l-14", Clip.load, "openai/clip-vit-large-patch14"),
    "OpenCLIP ViT-L/14": _of_hub(
        "openclip-vit-l-14", Clip.load, "laion/CLIP-ViT-L-14-laion2B-s32B-b82K"
    ),
    # Its safetensors have names that transformers does not look for.
    "OpenCLIP ViT-bigG-14": _turned_over(
        "openclip-vit-bigg-14",
        "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
        *(f"pytorch_model-0000{part}-of-00002.safetensors" for part in (1, 2)),
    ),
    "VGG": Model("lpips-vgg", Lpips.load, SOURCES["vgg"]),
    "AlexNet": Model("lpips-alexnet", Lpips.load, SOURCES["alex"]),
    # The paper's own model has a class that transformers does not know.
    "clip-flant5-xl": _of_hub(
        "blip2-flan-t5-xl", Asker.load, "Salesforce/blip2-flan-t5-xl", "BLIP-2 FlanT5-XL"
    ),
    "ImageReward-v1.0": Model("imagereward-v1-0", ImageReward.load, IMAGE_REWARD),
    "PickScore v1": Model(
        "pickscore-v1", load_pick_score, PICK_SCORE, "yuvalkirstain/PickScore_v1"
    ),
}
"""By the names that protocols give them."""


class Networks:
    """Who measures: networks by the names of a protocol, each loaded when it is first asked for."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def by(self, name: str) -> str | None:
        """Who measures where a protocol names ``name``, in words; None where nobody can."""
        raise NotImplementedError

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """A sha256 of everything that decides what each network answers.

        Raises:
            PriorError: one is missing; with the command that makes it.
        """
        raise NotImplementedError

    def wording(self, prompt: str) -> str:
        """The prompt as the networks read it."""
        return prompt

    def captions(self, prompt: str) -> list[str] | None:
        """Prompts among which the true one is looked for, where none are given; None: no such."""
        return None

    def get(self, name: str) -> Any:
        """The network that a protocol calls ``name``.

        Raises:
            PriorError: it is missing or damaged.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def judge(self) -> Judge:
        """The embedded judge, whose view classifier is the only one there is."""
        if VIEW_CLASSIFIER not in self._loaded:
            self._loaded[VIEW_CLASSIFIER] = Judge.load(packaged_judge())
        return self._loaded[VIEW_CLASSIFIER]

    def _load(self, name: str) -> Any:
        raise NotImplementedError


class Stored(Networks):
    """The papers' own networks, from disk.

    Args:
        folder: holds folders by their slugs; what is not there, and all where it is None, is looked
            for in Hugging Face's cache.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        if folder is not None and not folder.is_dir():
            raise InputError(f"There is no folder {folder}", "Give --models the networks' folder")
        self._folder = folder
        self._places: dict[str, Path] = {}

    def by(self, name: str) -> str | None:
        if name == VIEW_CLASSIFIER:
            return "embedded view classifier"
        own = MODELS[name].stand_in
        return f"{own} instead of {name}" if own else name

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        names = list(dict.fromkeys(names))
        judges = {name: judge_digest(packaged_judge()) for name in names if name == VIEW_CLASSIFIER}
        stored = [name for name in names if name not in judges]
        places = {name: self._place(name) for name in stored}
        if missing := [name for name, place in places.items() if place is None]:
            raise self._missing(missing)
        self._places |= {name: place for name, place in places.items() if place is not None}
        return {**{name: _digest(self._places[name]) for name in stored}, **judges}

    def _place(self, name: str) -> Path | None:
        model = MODELS[name]
        if self._folder is not None and (self._folder / model.slug).is_dir():
            return self._folder / model.slug
        return _cached(model.repository) if model.repository else None

    def _missing(self, names: list[str]) -> PriorError:
        folder = self._folder or USUAL_FOLDER
        commands = [MODELS[name].command(folder) for name in names]
        told = " and ".join(f"`{command}`" for command in commands)
        more = "" if self._folder else f", then add --models {shlex.quote(str(folder))}"
        are = "is" if len(names) == 1 else "are"
        return PriorError(
            f"{', '.join(names)} {are} not on this disk",
            f"Nothing is downloaded here by itself; make what is missing with {told}{more}",
        )

    def _load(self, name: str) -> Any:
        if name not in self._places:
            self.digests([name])
        model, place = MODELS[name], self._places[name]
        try:
            return model.load(place)
        except PriorError as fault:
            command = model.command(self._folder or USUAL_FOLDER)
            raise PriorError(fault.what, f"Make the folder anew with `{command}`") from fault


class Embedded(Networks):
    """The embedded judge instead of every CLIP; it knows the words of the toy world alone."""

    def by(self, name: str) -> str | None:
        if name == VIEW_CLASSIFIER:
            return "embedded view classifier"
        # A CLIP that learnt people's choices is no measure of likeness: PickScore is left out.
        is_clip = name in MODELS and MODELS[name].load is Clip.load
        return f"embedded judge instead of {name}" if is_clip else None

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        return dict.fromkeys(names, judge_digest(packaged_judge()))

    def wording(self, prompt: str) -> str:
        self.judge().wording.check_words(prompt, "The judge")
        told = described(prompt)
        return self.judge().wording.plain(prompt) if told is None else caption(told)

    def captions(self, prompt: str) -> list[str] | None:
        """The judge's own list of a hundred, for what describes an object of the toy world."""
        told = described(prompt)
        return None if told is None else distractors(caption(told))

    def _load(self, name: str) -> Any:
        return self.judge().clip


def _cached(repository: str) -> Path | None:
    """A repository in Hugging Face's cache that holds safetensors; the network is never asked."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repository, local_files_only=True))
    except (OSError, ValueError):  # Not there, or only in part.
        return None
    return folder if any(folder.glob(f"{Path(WEIGHTS).stem}*.safetensors")) else None


def _digest(folder: Path) -> str:
    """One sha256 over names and contents of all files that a loader may read."""
    whole = hashlib.sha256()
    for path in sorted({path for kind in _READ for path in folder.glob(kind)}):
        with disk_errors(path), path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.name} {content}\n".encode())
    return whole.hexdigest()
