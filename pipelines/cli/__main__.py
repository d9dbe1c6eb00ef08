"""`python -m pipelines.cli`: the command without the installed script."""

from pipelines.cli import main

main()
