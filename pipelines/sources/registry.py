"""Which module reads the landings of a source: the part of the source id before the first dot is the module's name.

Adding a venue adds one line here. No parsing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.clean.batch import Parser, SourceRules
from pipelines.clean.contract import Contract
from pipelines.errors import ConfigError
from pipelines.extract.landing import Landing, LandingStore
from pipelines.sources import files


@dataclass(frozen=True)
class OpenSource:
    """How to parse a source's landings, and how its coverage is judged."""

    parse: Parser
    rules: SourceRules


def open_source(store: LandingStore, contract: Contract, source: str, landings: Sequence[Landing]) -> OpenSource:
    """Parser and rules of `source`. Raises ConfigError for a source no module here reads."""
    module, _, _ = source.partition(".")
    if module == "files":
        parse, rules = files.open_landings(store, contract, landings)
        return OpenSource(parse=parse, rules=rules)
    raise ConfigError(
        f"no module of pipelines/sources reads {source!r}; landings of a removed source can be moved out of raw/."
    )
