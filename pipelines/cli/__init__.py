"""The `leverhouse` command for people. One module per family of commands; what they do is elsewhere.

Exit codes are those of errors.LeverhouseError: 0 done, 1 something is wrong (doctor), 2 wrong usage, 65 data refused,
66 landing damaged, 70 a defect of leverhouse, 74 disk, 75 try again later, 78 settings.
"""

from pipelines.cli.app import app, main

__all__ = ["app", "main"]
