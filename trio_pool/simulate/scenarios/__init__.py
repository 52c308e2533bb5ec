"""Experiments as files, and those that are shipped."""
