"""The toy world's language: its words by class, and what else people call them."""

from __future__ import annotations

from maquette.priors.wording import Wording
from maquette.toybox.colours import COLOURS
from maquette.toybox.finish import MATERIALS, PATTERNS, SIZES
from maquette.toybox.kinds import KINDS

__all__ = ["RELATIONS", "VIEWS", "WORDING"]

VIEWS = ("front", "side", "back", "overhead")
RELATIONS = ("on", "beside")

_SYNONYMS: dict[str, str] = {
    **{"gray": "grey", "violet": "purple", "lilac": "purple", "turquoise": "cyan", "aqua": "cyan"},
    **{"teal": "cyan", "scarlet": "red", "crimson": "red", "navy": "blue", "tan": "brown"},
    **{"gold": "yellow", "golden": "yellow", "lime": "green", "rose": "pink", "silver": "grey"},
    **{"automobile": "car", "plane": "airplane", "aeroplane": "airplane", "jet": "airplane"},
    **{"lorry": "truck", "cup": "mug", "bunny": "rabbit", "kitten": "cat", "kitty": "cat"},
    **{"puppy": "dog", "hound": "dog", "ship": "boat", "tv": "television", "sneaker": "shoe"},
    **{"boot": "shoe", "home": "house", "present": "gift", "piglet": "pig", "pony": "horse"},
    **{"chopper": "helicopter", "tortoise": "turtle", "locomotive": "train", "dino": "dinosaur"},
    **{"ape": "monkey", "calf": "cow", "bull": "cow", "toad": "frog", "spaceship": "rocket"},
    **{"toadstool": "mushroom", "desk": "table", "box": "cube", "sphere": "ball", "tin": "can"},
    **{"flask": "bottle", "fir": "tree", "stripy": "striped", "stripe": "striped"},
    **{"dotted": "spotted", "polka-dotted": "spotted", "dot": "spotted", "spot": "spotted"},
    **{"spotty": "spotted", "checked": "checkered", "chequered": "checkered"},
    **{"check": "checkered", "checkerboard": "checkered", "glossy": "shiny", "polished": "shiny"},
    **{"gleaming": "shiny", "dull": "matte", "mat": "matte", "little": "small", "tiny": "small"},
    **{"mini": "small", "large": "big", "huge": "big", "giant": "big", "near": "beside"},
    **{"by": "beside", "atop": "on", "upon": "on", "rear": "back", "top": "overhead"},
    **{"above": "overhead"},
}
_PHRASES = {
    "next to": "beside",
    "close to": "beside",
    "on top of": "on",
    "standing on": "on",
    "sitting on": "on",
    "polka dot": "spotted",
    "polka dotted": "spotted",
    "ice-cream": "ice cream",
    "icecream": "ice cream",
    "teddy": "teddy bear",
    "teddy bear bear": "teddy bear",
}
_FILLERS = (
    *("a", "an", "the", "and", "&", "of", "with", "in", "that", "which", "is", "are", "has"),
    *("some", "one", "its", "my", "this", "coloured", "colored", "view", "seen", "from", "single"),
    *("photo", "picture", "image", "render", "rendering", "drawing", "model", "3d", "toy"),
)

WORDING = Wording(
    classes={
        "sizes": tuple(SIZES),
        "materials": tuple(MATERIALS),
        "patterns": tuple(PATTERNS),
        "colours": tuple(COLOURS),
        "kinds": tuple(KINDS),
    },
    relations=RELATIONS,
    views=VIEWS,
    synonyms=_SYNONYMS,
    phrases=_PHRASES,
    fillers=_FILLERS,
)
