"""Reading days into the warehouse."""
