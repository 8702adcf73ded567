"""How good are the assets? Prompts of the toy world, made by each recipe and judged.

    python benchmarks/quality.py --out runs/quality --recipes maquette dreamfusion --prompts 40
    python benchmarks/quality.py --recipes all --prompts 12 --run-seeds 0 1 --budget 1200

Draws the prompts by ``--seed`` (a third of them combinations that the prior never saw), distils
each with each recipe, has the embedded judge look at eight views of every asset, and prints a table
with 95 % bootstrap intervals over prompts, also of the first recipe's lead on each of the others,
prompt by prompt. With ``--budget`` every recipe gets as many steps as come nearest to that number
of U-Net evaluations. Finished jobs are kept in the output folder, so that an interrupted run goes
on. Beside the table it writes ``sheet-RECIPE.png``, a contact sheet of all assets, and
``prior.png``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

ELEVATION_DEG, VIEWS, SIZE = 15.0, 8, 64
JUDGED = ("prompt_right", "kind_right", "colour_right", "view_right", "clip_score")
MEASURES = (*JUDGED, "janus", "halo")
# The halo is the mean coverage at the rim of the pictures, which no object of the world reaches.


def prompts(count: int, seed: int) -> list[tuple[str, bool]]:
    """``count`` prompts and whether their combination was held out; every third one is.

    All colours are told. Patterns, materials, sizes and second objects are as frequent as in the
    world's own captions.
    """
    from maquette.toybox.captions import caption
    from maquette.toybox.kinds import KINDS
    from maquette.toybox.world import describe

    random = np.random.Generator(np.random.Philox(key=seed))
    chosen: list[tuple[str, bool]] = []
    for held_out, share in ((False, count - count // 3), (True, count // 3)):
        # Kinds go round in a random order, so that each appears about equally often; what has one
        # colour and no pattern is never an unseen combination, and has its turn when it has one.
        kinds = list(KINDS)
        order = [kinds[i] for i in random.permutation(len(kinds))] * (1 + share // len(kinds))
        for kind in order[:share]:
            drawn = None
            while drawn is None or drawn.kind != kind or not _all_told(drawn):
                drawn, _ = describe(random, held_out)
            chosen.append((caption(drawn), held_out))
    return chosen


def _all_told(description) -> bool:
    told = [description, description.other] if description.other else [description]
    return all(one.colours for one in told)


def make(job: tuple[str, str, int, str, str, int | None]) -> dict:
    """Distil one prompt with one recipe, unless the job's files are there, and judge the asset."""
    import torch

    prompt, recipe_name, seed, out, settings, budget = job
    from maquette.costs import steps_within
    from maquette.distill import distill
    from maquette.export.ply import write_ply
    from maquette.lookup import find_recipe
    from maquette.overrides import override
    from maquette.run import Run
    from maquette.scenes.particles import each

    torch.set_num_threads(1)
    recipe = find_recipe(recipe_name)
    path = job_file(Path(out), recipe.name, prompt, seed)
    if path.exists():
        return json.loads(path.read_text()) | judged(path, prompt)
    recipe = override(recipe, json.loads(settings))
    if budget is not None:
        recipe = replace(recipe, steps=steps_within(recipe, budget))
    started, cpu = time.monotonic(), time.process_time()
    run = Run.start(prompt, recipe, _models()[0], seed)
    for _ in distill(run):
        pass
    result = {
        "prompt": prompt,
        "recipe": recipe.name,
        "seed": seed,
        "seconds": time.monotonic() - started,
        "cpu_seconds": time.process_time() - cpu,
        "steps": run.step,
        "evaluations": run.prior.evaluations,
        "gaussians": run.scene.count,
    }
    write_ply(path.with_suffix(".ply"), each(run.scene)[0])  # pyright: ignore[reportArgumentType]
    path.write_text(json.dumps(result))
    return result | judged(path, prompt)


def judged(path: Path, prompt: str) -> dict[str, float]:
    """What the judge says of a job's asset; its eight views are written beside it."""
    import torch

    from maquette.export.ply import read_ply
    from maquette.export.sheet import to_uint8, write_png
    from maquette.metrics.evaluate import scene_fronts
    from maquette.metrics.janus import is_janus
    from maquette.records import Views
    from maquette.toybox.captions import parse
    from maquette.toybox.colours import clear_background

    judge, description = _models()[1], parse(prompt)
    scene = read_ply(path.with_suffix(".ply"))
    # Half a step off the front: no camera stands on the border between two view words.
    views = Views.ring(VIEWS, elevation_deg=ELEVATION_DEG, size=SIZE, start_deg=180 / VIEWS)
    behind = torch.tensor(clear_background(description.colour_words)).expand(VIEWS, 3)
    with torch.no_grad():
        render = scene.render(views, behind)
    pictures = render.colour.clamp(0, 1)
    write_png(path.with_suffix(".png"), to_uint8(torch.cat(list(pictures), dim=1)))
    verdict, fronts = (
        judge.verdict(pictures, description, views),
        scene_fronts(judge, scene, description),
    )
    alpha = render.alpha.reshape(VIEWS, SIZE, SIZE)
    rim = torch.cat([alpha[:, :2], alpha[:, -2:], alpha[..., :2].mT, alpha[..., -2:].mT], dim=1)
    return {
        **{name: getattr(verdict, name).mean().item() for name in JUDGED},
        "janus": float("nan") if fronts is None else float(is_janus(fronts)),
        "halo": rim.mean().item(),
    }


def job_file(out: Path, recipe: str, prompt: str, seed: int) -> Path:
    """Where the result of a job is kept; its picture has the same name."""
    return out / f"{recipe}-{prompt.replace(' ', '_')}-{seed}.json"


def judge_prior(chosen: list[tuple[str, bool]], out: Path) -> list[dict]:
    """What the prior itself draws for the same prompts: eight pictures each, two per view word."""
    import torch

    from maquette.camera import FOV_Y_DEG
    from maquette.export.sheet import to_uint8, write_png
    from maquette.randomness import Randomness
    from maquette.records import Views
    from maquette.sampling import sample_latents
    from maquette.toybox.captions import VIEWS as WORDS
    from maquette.toybox.captions import parse

    prior, judge = _models()
    angles = {"front": (0, 10), "side": (90, 10), "back": (180, 10), "overhead": (0, 60)}
    chosen_angles = torch.tensor([angles[word] for word in WORDS * 2]).float()
    ones = torch.ones(len(chosen_angles))
    views = Views(
        chosen_angles[:, 0], chosen_angles[:, 1], ones * 3.3, ones * FOV_Y_DEG, SIZE, SIZE
    )
    rows, results = [], []
    for number, (prompt, _) in enumerate(chosen):
        texts = [f"{prompt}, {word} view" for word in WORDS * 2]
        pictures = prior.decode(sample_latents(prior, texts, Randomness(number)))
        verdict = judge.verdict(pictures, parse(prompt), views)
        measures = {name: getattr(verdict, name).mean().item() for name in JUDGED}
        results.append({"prompt": prompt, **measures})
        rows.append(torch.cat(list(pictures), dim=1))
    write_png(out / "prior.png", to_uint8(torch.cat(rows, dim=0)))
    return results


def interval(values: list[float], prompts: list[str], scale: float) -> str:
    """Mean and 95 % bootstrap interval over prompts, whose seeds stay together, times ``scale``."""
    groups = [
        [v for v, p in zip(values, prompts, strict=True) if p == prompt and np.isfinite(v)]
        for prompt in dict.fromkeys(prompts)
    ]
    known = np.array([np.mean(group) for group in groups if group])
    if not len(known):
        return "-"
    random = np.random.Generator(np.random.Philox(key=0))
    means = random.choice(known, (4000, len(known))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{scale * known.mean():5.1f} [{scale * low:5.1f}, {scale * high:5.1f}]"


def table(rows: dict[str, list[dict]]) -> None:
    """Print one line per recipe."""
    print(f"{'':22s}" + "".join(f"{name:>24s}" for name in MEASURES))
    for name, results in rows.items():
        asked = [result["prompt"] for result in results]
        cells = ""
        for measure in MEASURES:
            values = [result.get(measure, np.nan) for result in results]
            cells += f"{interval(values, asked, 1 if measure == 'clip_score' else 100):>24s}"
        print(f"{name:22s}{cells}")


def differences(rows: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """The first recipe's results minus those of each other one, for the same prompts and seeds."""
    (first, own), *others = rows.items()
    return {
        f"{first} - {name}"[:22]: [
            {"prompt": a["prompt"], **{m: a[m] - b[m] for m in MEASURES}}
            for a, b in zip(own, theirs, strict=True)
        ]
        for name, theirs in others
    }


def sheet(out: Path, name: str, results: list[dict]) -> None:
    """All assets of one recipe under each other, two columns of eight views."""
    import torch
    from PIL import Image

    from maquette.export.sheet import to_uint8, write_png

    files = [job_file(out, name, r["prompt"], r["seed"]).with_suffix(".png") for r in results]
    strips = [torch.from_numpy(np.array(Image.open(f))).float() / 255 for f in files]
    if len(strips) % 2:
        strips.append(torch.ones_like(strips[0]))
    half = len(strips) // 2
    pairs = [torch.cat(pair, dim=1) for pair in zip(strips[:half], strips[half:], strict=True)]
    write_png(out / f"sheet-{name}.png", to_uint8(torch.cat(pairs, dim=0)))


def main() -> None:
    """Run all jobs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/quality"))
    parser.add_argument("--recipes", nargs="*", default=["maquette", "dreamfusion"],
                        help="names, or all")  # fmt: skip
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--seed", type=int, default=2026, help="draws the prompts")
    parser.add_argument("--run-seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--budget", type=int, help="U-Net evaluations of every run")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--set", nargs="*", default=[], dest="settings", help="FIELD=VALUE ...")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.recipes == ["all"]:
        from maquette.lookup import recipe_names

        options.recipes = recipe_names()
    chosen = prompts(options.prompts, options.seed)
    common = (str(options.out), json.dumps(options.settings), options.budget)
    jobs = [
        (prompt, recipe, seed, *common)
        for recipe in options.recipes
        for prompt, _ in chosen
        for seed in options.run_seeds
    ]
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(make, jobs))
    report(options, chosen, results)


def report(
    options: argparse.Namespace, chosen: list[tuple[str, bool]], results: list[dict]
) -> None:
    """Write the sheets and print the tables."""
    unseen = {prompt for prompt, held_out in chosen if held_out}
    recipes = list(dict.fromkeys(r["recipe"] for r in results))
    made = {recipe: [r for r in results if r["recipe"] == recipe] for recipe in recipes}
    for recipe, own in made.items():
        sheet(options.out, recipe, own)
    rows = {"prior's own pictures": judge_prior(chosen, options.out), **made}
    for name, own in list(rows.items()):
        rows[f"  {name[:14]}, unseen"] = [r for r in own if r["prompt"] in unseen]
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {datetime.date.today()}, {options.prompts} prompts of seed {options.seed}, "
          f"runs of seeds {options.run_seeds}, {VIEWS} views")  # fmt: skip
    table(rows | differences(made))
    for recipe in recipes:
        seconds = np.array([r["cpu_seconds"] for r in rows[recipe]])
        steps, evaluations = (
            np.mean([r[k] for r in rows[recipe]]) for k in ("steps", "evaluations")
        )
        print(f"{recipe}: CPU seconds a run: median {np.median(seconds):.0f}, steps {steps:.0f}, "
              f"U-Net evaluations {evaluations:.0f}")  # fmt: skip


_loaded: list = []


def _models() -> tuple:
    if not _loaded:
        from maquette.priors.embedded import embedded, weights_folder
        from maquette.toybox.judge import Judge

        _loaded.append((embedded(), Judge.load(weights_folder() / "judge-64")))
    return _loaded[0]


if __name__ == "__main__":
    main()
