"""Outcomes per image -> measurements with counts and intervals. Imports no torch."""
