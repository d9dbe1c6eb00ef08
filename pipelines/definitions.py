"""What Dagster loads: the objects of the warehouse that LEVERHOUSE_HOME names. Holds no logic."""

from pipelines.core.settings import Settings
from pipelines.defs.assemble import build_definitions

defs = build_definitions(Settings.load())
