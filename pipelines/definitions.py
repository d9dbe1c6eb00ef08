"""What Dagster loads: the objects of the warehouse that LEVERHOUSE_HOME names. Holds no logic."""

from pipelines.core.settings import Settings
from pipelines.defs.assemble import build_definitions
from pipelines.operations.run_log import RunLog, start_logging

settings = Settings.load()
start_logging(settings)
defs = build_definitions(settings, observer=RunLog())
