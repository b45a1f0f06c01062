"""What studies and tables call the sources of adversarial images."""

from __future__ import annotations

JOINT = "+"
"""What joins the names of models on which images are made together: `a+b+c`."""
LONGEST = 180
"""Characters of such a name: it is a folder's, and part of a log file's, of which file systems allow 255."""


def parts(source: str) -> tuple[str, ...]:
    """Return the models that images were made on together, or the defenses that one is built of; often one alone."""
    return tuple(source.split(JOINT))


MEMBER = "member"
"""Source of a white_box threat that is made on each member of an ensemble in turn; tables name their mean so."""
AGGREGATED = "members"
"""What tables name as the source of an aggregated suite: all members of the ensemble together."""
