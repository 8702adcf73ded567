"""``python -m maquette`` is the command ``maquette``, also where no script is on the path."""

import sys

from maquette.cli import main

if __name__ == "__main__":
    sys.exit(main())
