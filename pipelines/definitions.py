"""What Dagster loads: the objects of the warehouse that LEVERHOUSE_HOME names. Holds no logic."""

from pipelines.core import redaction
from pipelines.core.settings import Settings
from pipelines.defs.assemble import build_definitions

redaction.install()
defs = build_definitions(Settings.load())
