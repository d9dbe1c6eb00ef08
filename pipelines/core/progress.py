"""How a long step says how far it is: one callback type, and the one that says nothing."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with (what, done, of); `of` 0 means that the number of parts is not known."""


def no_progress(what: str, done: int, of: int) -> None:
    """Report nothing."""
