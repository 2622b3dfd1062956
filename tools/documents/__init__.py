"""Draws the pictures of the documentation, and makes its table of functions."""
