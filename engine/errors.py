"""Errors a person can act on.

Everything the engine expects to go wrong (a truncated picture, a missing folder, a full disk) leaves it as an
`EngineError`; whatever else escapes is a bug and is shown as one.
"""

from __future__ import annotations


class EngineError(Exception):
    """What went wrong and what to do next, both in plain words.

    Attributes:
        message: one sentence without technical terms; no trailing detail that only a programmer reads.
        hint: the next step for the user; may be empty where there is none.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class WriteError(EngineError):
    """A file could not be written: the disk is full, or the folder may not be written to."""


class Cancelled(EngineError):
    """The user asked for a piece of work to end; nothing went wrong."""

    def __init__(self, what: str = "The work") -> None:
        super().__init__(f"{what} was cancelled.")
