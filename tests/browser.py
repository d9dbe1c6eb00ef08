"""The Chromium of the tests. No tests."""

from __future__ import annotations

import os

import pytest

from pipelines.report.browser import find_browser


def browser_or_skip() -> str:
    """The program; where there is none, the test is skipped, and in CI it fails."""
    program = find_browser()
    if program is None:
        reason = "no Chromium; .ci/run installs Debian's package chromium"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return program
