"""The exception hierarchy: transient errors are retried, permanent ones are not.

    LeverhouseError
    ├── TransientError          may succeed later: the request is retried, then the run once
    │   ├── WarehouseBusyError  another process holds the writer lock
    │   └── VenueUnavailableError   no response, or an invalid one
    │       ├── ThrottledError  rate limited by the venue
    │       ├── NoAnswerError   no complete response in time
    │       ├── ErrorStatusError    a status that says to try later
    │       ├── MalformedAnswerError    a whole answer that is not of the kind asked for
    │       └── ChecksumError   a file is not what its checksum says
    └── PermanentError          never retried: something must be changed first
        ├── ConfigError         settings, environment, command line
        │   └── NotPermittedError   the home or a file may not be written or read by this user
        ├── ClockError          the clock of this machine or of a venue is wrong
        ├── MachineError        full or failing disk, too few open files, too little memory, damaged records of runs
        ├── MappingError        invalid mapping file
        ├── SourceFormatError   received bytes do not match the mapping or the venue's format
        ├── RequestRefusedError the venue refuses the request; a retry would be refused too
        │   ├── NoLongerAvailableError  the venue does not keep this past any more
        │   └── BlockedError    the venue refuses every request from here: region, ban
        ├── LandingError        a landed payload or manifest is damaged or missing
        ├── LimitError          input exceeds a limit of docs/limits.md
        ├── ContractError       code and the DDL in warehouse/schema disagree
        ├── ReconciliationError received ≠ accepted + duplicates + quarantined
        ├── GateError           the quality gate refused the batch
        ├── WarehouseDamagedError  the working database cannot be opened, or has another version
        ├── PublishError        the snapshot could not be published
        └── SnapshotDamagedError  the published file cannot be opened

Every message names the source, what happened and the next step.
"""

from __future__ import annotations


class LeverhouseError(Exception):
    """Base class of all errors this project raises on purpose. `exit_code` is the exit code of the command line."""

    exit_code = 1


class TransientError(LeverhouseError):
    """May succeed later without a change."""

    exit_code = 75  # sysexits EX_TEMPFAIL


class WarehouseBusyError(TransientError):
    """Another process holds the writer lock."""


class VenueUnavailableError(TransientError):
    """A venue did not respond, closed the connection early, or sent a response in the wrong format."""


class DeadVenueError(VenueUnavailableError):
    """The venue answers, but with nothing, or with what it said a day ago. What it says is not landed."""


class ThrottledError(VenueUnavailableError):
    """A venue limits the request rate. `wait_seconds` is the wait it asks for, None if it gives none."""

    def __init__(self, message: str, *, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class NoAnswerError(VenueUnavailableError):
    """No complete response came in time."""


class ErrorStatusError(VenueUnavailableError):
    """A venue answered with a status that says to try later."""


class MalformedAnswerError(VenueUnavailableError):
    """A whole answer is not of the kind asked for: a gateway's page of HTML, JSON that breaks off. It is landed as it came if
    no attempt brought another one. `answer` is what came, a venue.Page."""

    def __init__(self, message: str, *, answer: object) -> None:
        super().__init__(message)
        self.answer = answer


class ChecksumError(VenueUnavailableError):
    """A file and its published checksum do not agree."""


class PermanentError(LeverhouseError):
    """Cannot succeed without a change."""


class ConfigError(PermanentError):
    """Settings, environment or command line are wrong."""

    exit_code = 78  # EX_CONFIG


class NotPermittedError(ConfigError):
    """The home, or a file that a command was given, may not be written or read by this user."""


class ClockError(PermanentError):
    """The clock of this machine or of a venue is wrong: times and ends of days could not be trusted."""

    exit_code = 78


class MachineError(PermanentError):
    """This machine cannot do it: the disk is full or fails, open files or memory have run out, records of runs are damaged."""

    exit_code = 74  # EX_IOERR


class MappingError(PermanentError):
    """Invalid mapping file: names the file, the key and the allowed values."""

    exit_code = 78


class SourceFormatError(PermanentError):
    """Received bytes do not have the expected format: names file, line, column and value."""

    exit_code = 65  # EX_DATAERR


class RequestRefusedError(PermanentError):
    """A venue refuses a request and would refuse a retry: names the venue, the request and the response."""

    exit_code = 76  # EX_PROTOCOL


class NoLongerAvailableError(RequestRefusedError):
    """A venue does not keep the requested past any more. Settled: it is not asked again."""


class BlockedError(RequestRefusedError):
    """A venue refuses every request from here: the region is restricted or the IP address is banned."""

    exit_code = 77  # EX_NOPERM


class LandingError(PermanentError):
    """A landed payload or its manifest is damaged or missing."""

    exit_code = 66  # EX_NOINPUT


class ContractError(PermanentError):
    """Code and the DDL in warehouse/schema disagree."""

    exit_code = 70  # EX_SOFTWARE


class ReconciliationError(PermanentError):
    """received = accepted + duplicates + quarantined does not hold: a bug. Nothing was committed."""

    exit_code = 70


class GateError(PermanentError):
    """The quality gate refused the batch; the clean tables are unchanged."""

    exit_code = 65


class LimitError(PermanentError):
    """Input exceeds a limit that keeps memory and time bounded (docs/limits.md)."""

    exit_code = 65


class WarehouseDamagedError(PermanentError):
    """The working database cannot be used as it is; `leverhouse rebuild` recreates it from the landing."""

    exit_code = 74  # EX_IOERR


class PublishError(PermanentError):
    """The snapshot could not be published; the previous one is unchanged."""

    exit_code = 74  # EX_IOERR


class SnapshotDamagedError(PermanentError):
    """The published file cannot be opened; `leverhouse publish` writes a new one."""

    exit_code = 74  # EX_IOERR
