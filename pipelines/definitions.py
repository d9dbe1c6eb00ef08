"""What Dagster loads: the objects of the warehouse that LEVERHOUSE_HOME names. Holds no logic."""

from pipelines.defs.assemble import build_definitions
from pipelines.settings import Settings

defs = build_definitions(Settings.load())
