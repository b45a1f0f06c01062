"""The first lines of an own plug-in or paper, which `python -m reproof new` writes; NAME and the like are replaced."""
