"""PlacidDreamer: balanced score distillation on Gaussians.

Huang et al. 2024, PlacidDreamer: Advancing Harmony in Text-to-3D Generation. It is built on
LucidDreamer, whose settings hold where it gives none.

Convention: code, because it is where the objective's numbers are: a classifier term of 15 (the
README's 18 is read and never used) and the weight sqrt(alpha bar). Guidance has no scale: the
balance is found for each view. Noise is drawn afresh for one random timestep a step, and there is
no inversion. Its constants of the ``auto`` variant are those of ``objectives.BootstrappedBSD``.

The paper starts from a mesh and teaches the prior its own pictures of many views first; the start
here is LucidDreamer's ball, and the prior stays as it is. The words tell no left from right.
"""

from maquette.objectives.bsd import BSD
from maquette.recipe import Recipe
from maquette.recipes._lucid import lucid
from maquette.recipes._small import shrunk

CITE = """@inproceedings{huang2024placiddreamer,
  title = {PlacidDreamer: Advancing Harmony in Text-to-3D Generation},
  author = {Huang, Shuo and Sun, Shikun and Wang, Zixuan and Qin, Xiaoyu and Xiong, Yanmin and
    Zhang, Yuan and Wan, Pengfei and Zhang, Di and Jia, Jia},
  booktitle = {Proceedings of the 32nd ACM International Conference on Multimedia},
  pages = {6880--6889},
  year = {2024},
}"""


def placiddreamer() -> Recipe:
    """BSD with a classifier term of 15 in 5000 steps of four views."""
    return Recipe(
        name="placiddreamer",
        paper="PlacidDreamer, Huang et al. 2024, arXiv 2407.13976",
        objective=BSD(classifier_scale=15.0),
        **lucid(5000),
    )


def small() -> Recipe:
    """The same on the embedded prior."""
    return shrunk(placiddreamer())
