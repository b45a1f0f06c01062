"""The errors a user can mend: each message says what is wrong, where, and what to do."""

from __future__ import annotations


class ReproofError(Exception):
    """Base of every error that is shown as one message, without a traceback."""


class StudyError(ReproofError):
    """The study's YAML is wrong; the message names the file and the key path."""


class ArtifactError(ReproofError):
    """A file under results/ is missing, truncated, edited or unreadable."""


class BudgetError(ReproofError):
    """An attack returned an image outside its threat model."""


class ClaimError(ReproofError):
    """A row of a claims file is wrong; the message names file, line and column."""


class TrainingError(ReproofError):
    """A training run cannot go on (a loss that is not finite, a batch that does not fit)."""


class DataError(ReproofError):
    """A data set is missing, incomplete or not what it should be."""


class ModelError(ReproofError):
    """A network or a file of weights of the user's own is not what it should be."""


class SurroundingsError(ReproofError):
    """A job was started in surroundings that are not those it asks for, such as another Python."""
