"""Measurements: slow runs with a named command, whose results stand in the documentation."""
