"""Metrics cost nothing before a model is loaded: their modules import no large library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import maquette

MODULES = ["clip", "lpips", "pictures", "preference", "protocols", "retrieval", "shape", "vqa"]
MODULES += ["cost", "members", "shading"]


def test_no_module_imports_a_large_library() -> None:
    assert all((Path(maquette.__file__).parent / "metrics" / f"{m}.py").is_file() for m in MODULES)
    code = f"import {', '.join(f'maquette.metrics.{module}' for module in MODULES)}, sys; "
    code += "print([m for m in ('transformers', 'diffusers', 'scipy', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
