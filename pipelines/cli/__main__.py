"""`python -m pipelines.cli`, for a checkout without the installed script."""

from pipelines.cli import main

main()
