"""The errors of leverhouse. What can be retried is told apart from what cannot in this one tree.

    LeverhouseError
    ├── TransientError          may pass by itself: retried inside the request, then the run once
    │   ├── WarehouseBusyError  another process holds the writer lock
    │   └── VenueUnavailableError   no answer, or one that makes no sense
    │       └── ThrottledError  the venue asks to wait
    └── PermanentError          never retried: somebody has to change something
        ├── ConfigError         settings, environment, command line
        ├── MappingError        a mapping file is wrong
        ├── SourceFormatError   received bytes are not what the mapping or the venue's module says
        ├── RequestRefusedError the venue refuses the request and will refuse it again
        │   └── BlockedError    nothing of the venue can be had from here: region, ban
        ├── LandingError        a landed payload or manifest is damaged or missing
        ├── ContractError       code and the DDL in warehouse/schema disagree
        ├── ReconciliationError received ≠ accepted + duplicates + quarantined
        ├── GateError           the batch was refused by its quality gate
        ├── WarehouseDamagedError  the working database does not open, or is of another version
        └── PublishError        the snapshot could not be published

Every message names the source, what happened and the next step.
"""

from __future__ import annotations


class LeverhouseError(Exception):
    """Root of all errors this project raises on purpose. `exit_code` is what the command line ends with."""

    exit_code = 1


class TransientError(LeverhouseError):
    """May pass by itself."""

    exit_code = 75  # sysexits EX_TEMPFAIL


class WarehouseBusyError(TransientError):
    """Another process holds the writer lock."""


class VenueUnavailableError(TransientError):
    """A venue did not answer, or broke off, or answered with something else than its format."""


class ThrottledError(VenueUnavailableError):
    """A venue asks to wait. `wait_seconds` is what it asks for, None where it does not say."""

    def __init__(self, message: str, *, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class PermanentError(LeverhouseError):
    """Will not pass by itself."""


class ConfigError(PermanentError):
    """Settings, environment or command line are wrong."""

    exit_code = 78  # EX_CONFIG


class MappingError(PermanentError):
    """A mapping file is wrong: names the file, the key and what is allowed."""

    exit_code = 78


class SourceFormatError(PermanentError):
    """Received bytes do not have the shape that was promised: names file, line, column and value."""

    exit_code = 65  # EX_DATAERR


class RequestRefusedError(PermanentError):
    """A venue refuses a request and will refuse it again: names the venue, the request and its answer."""

    exit_code = 76  # EX_PROTOCOL


class BlockedError(RequestRefusedError):
    """A venue refuses everything that comes from here: its region is restricted, or the address is banned."""

    exit_code = 77  # EX_NOPERM


class LandingError(PermanentError):
    """A landed payload or its manifest is damaged or missing."""

    exit_code = 66  # EX_NOINPUT


class ContractError(PermanentError):
    """Code and the DDL in warehouse/schema disagree."""

    exit_code = 70  # EX_SOFTWARE


class ReconciliationError(PermanentError):
    """received = accepted + duplicates + quarantined does not hold: a bug, nothing was committed."""

    exit_code = 70


class GateError(PermanentError):
    """The quality gate refused the batch; the clean tables are unchanged."""

    exit_code = 65


class WarehouseDamagedError(PermanentError):
    """The working database cannot be used as it is; it can be made again from the landing."""

    exit_code = 74  # EX_IOERR


class PublishError(PermanentError):
    """The snapshot could not be published; the previous one is untouched."""

    exit_code = 74  # EX_IOERR
