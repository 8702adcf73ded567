"""Generate: from a prompt to an asset, in three lines.

Idea: one function does everything. It makes a folder named by the prompt, the seed, the recipe and
the prior, and leaves a PLY, a preview and a film in it. Run it again and it goes on where it was
stopped, or says that it is finished.

Usage:
    python examples/01_generate.py                                    # about 400 steps
    python examples/01_generate.py "a yellow and orange duck" 20      # a short form: 20 steps
"""

import sys

import maquette

if __name__ == "__main__":
    prompt = sys.argv[1] if len(sys.argv) > 1 else "a red and blue mug"
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else None
    print(maquette.generate(prompt, steps=steps, out="runs").folder)
