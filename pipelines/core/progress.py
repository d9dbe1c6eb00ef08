"""The progress callback of long steps, and one that reports nothing."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with (what, done, total); a total of 0 means unknown."""


def no_progress(what: str, done: int, total: int) -> None:
    """Report nothing."""
