"""The `leverhouse` command. One module per group of commands; pipelines.operations does the work.

Exit codes (core.errors): 0 success, 1 a problem was found (doctor, evaluate), 2 usage error, 65 data refused, 66 landing
damaged, 70 bug in leverhouse, 74 disk, 75 retry later, 76 request refused by a venue, 77 blocked by a venue, 78 settings,
130 interrupted.
"""

from pipelines.cli.app import app, main

__all__ = ["app", "main"]
