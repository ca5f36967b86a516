"""Small modules that every room may import."""
