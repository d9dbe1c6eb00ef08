"""What Dagster loads: the objects of the warehouse that LEVERHOUSE_HOME names. Holds no logic."""

from pipelines.core import redaction
from pipelines.core.settings import Settings
from pipelines.defs.assemble import build_definitions
from pipelines.operations.run_log import RunLog, start_logging

redaction.install()
settings = Settings.load()
start_logging(settings)
defs = build_definitions(settings, observer=RunLog())
