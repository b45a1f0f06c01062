"""Data sets, one file each, found by looking in this folder; each reads its images and fixes its splits."""
