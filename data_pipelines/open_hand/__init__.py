"""Builds the embedded open hand from CC0 body data."""
