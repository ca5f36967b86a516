"""Warehouses as past schema versions left them; `write_old` wrote them."""
