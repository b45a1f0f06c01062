"""What stands in claims and tables where no plug-in's name does."""

from __future__ import annotations

from typing import Literal

Setting = Literal["white_box", "black_box", "adaptive"]
"""Where an attack is made: on the model itself, on others, on it with its defense's own attack losses."""
NO_ATTACK = "none"
"""The `attack` of a number that was measured on clean images."""
WORST_CASE = "worst_case"
"""The attack, in the tables, of the worst case under all attacks within a budget."""
WORST_IN_SETTING = "worst_case_in_setting"
"""The same, of the attacks of one setting alone."""
WORST_UNBOUNDED = "worst_case_unbounded"
"""The attack, in the tables, of the worst case under all attacks that have no epsilon."""
ELSEWHERE = "elsewhere"
"""Who trained a model whose weights come from a file that no paper published."""
BOOSTED = "[boosted]"
"""What the name of a defense ends with whose vote is boosted."""
