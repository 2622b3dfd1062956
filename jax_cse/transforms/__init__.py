"""The public functions that take a function and give another."""
