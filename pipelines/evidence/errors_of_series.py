"""Standard errors and p-values of sums of daily series that overlap and cluster. No signals here, no tables.

Equally weighted cosines: Lazarus, Lewis, Stock, Watson, "HAR inference: recommendations for practice" (2018). Calendar time:
what a portfolio that holds every event for h days earned each day, so that overlap is gone before an error is taken.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

POWER_TERM: Final = 0.8416212335729143
"""Normal quantile of the power of 80% that a smallest detectable effect is stated for."""


def terms(days: int) -> int:
    """Cosine terms for a series of so many days, the degrees of freedom of its t."""
    return int(0.4 * days ** (2 / 3))


@lru_cache(maxsize=512)
def _cosines(days: int) -> Floats:
    import numpy as np

    j = np.arange(1, terms(days) + 1)[:, None]
    s = np.arange(1, days + 1)[None, :]
    cosines: Floats = math.sqrt(2 / days) * np.cos(np.pi * j * (s - 0.5) / days)
    return cosines


def ewc_error(series: Floats) -> Floats:
    """Standard error of the sum over the last axis, by equally weighted cosines. Needs 4 days or more."""
    import numpy as np

    days = series.shape[-1]
    centered = series - series.mean(axis=-1, keepdims=True)
    projected = centered @ _cosines(days).T
    errors: Floats = np.sqrt(days * (projected**2).mean(axis=-1))
    return errors


def calendar_error(series: Floats) -> Floats:
    """Standard error of the sum over the last axis where the days are independent with mean zero (no effect)."""
    import numpy as np

    errors: Floats = np.sqrt((series**2).sum(axis=-1))
    return errors


def p_normal(effect: Floats, error: Floats) -> Floats:
    """Two-sided p-values by the normal distribution."""
    import numpy as np
    from scipy.special import ndtr

    values: Floats = 2 * ndtr(-np.abs(effect) / error)
    return values


def p_student(effect: Floats, error: Floats, degrees: int) -> Floats:
    """Two-sided p-values by Student's t."""
    import numpy as np
    from scipy.special import stdtr

    values: Floats = 2 * stdtr(degrees, -np.abs(effect) / error)
    return values


@lru_cache(maxsize=512)
def t_quantile(degrees: int, probability: float) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def shifts(days: int, count: int) -> list[int]:
    """So many circular shifts evenly spaced from 30 days to 30 days short of all; none where the series is too short for them."""
    import numpy as np

    if days - 60 < count:
        return []
    return [int(shift) for shift in np.round(np.linspace(30, days - 30, count))]
