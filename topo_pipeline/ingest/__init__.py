"""Where the API and the warehouse meet: read days and land them, compare counts and replies, estimate."""
