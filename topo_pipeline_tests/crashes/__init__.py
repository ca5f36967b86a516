"""What becomes of the warehouse where processes die, run beside each other, or have no room to write."""
