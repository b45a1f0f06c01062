"""reproof: rebuild five hidden-space defenses, attack them alike, set each claim beside what was measured."""
