"""Runs dbt commands on Spark in one session: python run_dbt.py PROJECT TARGET "COMMAND" …; ends with 1 at the first that fails."""

from __future__ import annotations

import sys
import time

from dbt.cli.main import dbtRunner


def main(project: str, target: str, *commands: str) -> int:
    runner = dbtRunner()
    for command in commands:
        started = time.monotonic()
        done = runner.invoke(
            [*command.split(), "--project-dir", project, "--profiles-dir", project, "--target-path", target,
             "--log-path", f"{target}/logs", "--no-use-colors"],
        )  # fmt: skip
        print(f"{command}: {'done' if done.success else 'failed'} in {time.monotonic() - started:.0f} s", flush=True)
        if not done.success:
            print(done.exception or "", flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
