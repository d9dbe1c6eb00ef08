"""Dagster's own pages behind the guard, in a real browser: the owner's start a run and read it, another site's do neither."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.service.browser_fixture import EVIL, REBOUND, attack, foreign_page, networked_browser, visit
from tests.service.test_service import Running, running

__all__ = ["running"]

pytestmark = pytest.mark.slow

LAUNCH = (
    'mutation{launchRun(executionParams:{selector:{repositoryLocationName:"leverhouse",repositoryName:"__repository__",'
    'jobName:"load"},runConfigData:"{}"}){__typename}}'
)
BODY = json.dumps({"query": LAUNCH})
RUNS = "{runsOrError{... on Runs{results{jobName}}}}"
POST = """
(async body => (await (await fetch('/graphql',
  {method: 'POST', headers: {'content-type': 'application/json'}, body})).json()))
"""


def runs(service: Running) -> list[str]:
    answer: Any = service.graphql(RUNS)
    return [run["jobName"] for run in answer["data"]["runsOrError"]["results"]]


def test_the_owner_starts_and_reads_a_run_and_another_site_does_neither(running: Running) -> None:
    # A server that does not listen would let nothing through either.
    assert "load" not in runs(running)
    with networked_browser() as browser, foreign_page() as port:
        for host in (EVIL, "127.0.0.1"):
            assert attack(browser, f"http://{host}:{port}/", running.address, query=LAUNCH, body=BODY) == []
        visit(browser, running.address.replace("127.0.0.1", REBOUND))
        assert browser.ask("document.body.innerText").startswith("refused: ")
        assert "load" not in runs(running)

        visit(browser, f"{running.address}/runs")
        until = time.monotonic() + 120
        # Its script has drawn the page from what it was told by GraphQL.
        while "Runs" not in browser.ask("document.body.innerText"):
            assert time.monotonic() < until, browser.ask("document.body.innerText")
            time.sleep(0.5)
        launched = browser.ask(f"{POST}({BODY!r})")
        assert launched["data"]["launchRun"]["__typename"] == "LaunchRunSuccess"
        assert "load" in runs(running)
        told = browser.ask(f"{POST}({json.dumps({'query': RUNS})!r})")
        assert {"jobName": "load"} in told["data"]["runsOrError"]["results"]
