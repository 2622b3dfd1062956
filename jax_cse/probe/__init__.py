"""Does a JAX that nobody tested fit? Above all others, which it tries."""
