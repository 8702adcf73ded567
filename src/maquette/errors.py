"""The typed errors: each says what went wrong, where, and what to do next.

A face of the program (the command line) turns an error into one sentence and the exit code of its
class; library users catch :class:`MaquetteError` or a subclass. Nothing else decides exit codes.
"""

__all__ = [
    "CheckpointError",
    "DiskError",
    "InputError",
    "MaquetteError",
    "NumericalError",
    "PriorError",
    "RefusedError",
    "RunError",
]


class MaquetteError(Exception):
    """The family of all errors that this library raises on purpose.

    Args:
        what: one sentence without a final full stop.
        next_step: what the user can do about it, likewise.
    """

    exit_code = 1

    def __init__(self, what: str, next_step: str = "") -> None:
        self.what, self.next_step = what, next_step
        super().__init__(f"{what}. {next_step}." if next_step else f"{what}.")


class InputError(MaquetteError):
    """Bad usage or bad input: an empty prompt, an unknown word, a file that is no PLY."""

    exit_code = 2


class PriorError(InputError):
    """A prior cannot be loaded, or is not the one that a checkpoint was made with."""


class CheckpointError(InputError):
    """A checkpoint is damaged, of another version, or of another run."""


class RunError(MaquetteError):
    """A run failed, or cannot be started because another process holds it."""


class NumericalError(MaquetteError):
    """A value that must be finite was not; ``site`` names the arrow of the relay."""

    exit_code = 70

    def __init__(self, what: str, next_step: str = "", *, site: str = "") -> None:
        self.site = site
        super().__init__(what, next_step)


class DiskError(MaquetteError):
    """The disk is full, read-only or failing; the last good state is intact."""

    exit_code = 74


class RefusedError(MaquetteError):
    """Refused for safety: a path outside its root, a link, a file that could run code."""

    exit_code = 78
