"""What an operator does to a warehouse as a whole: back it up, restore it, forget a person.

What belongs here: the order of steps, and what is done to files beside the warehouse. What does not: how rows are found
(`warehouse.forgetting`), how tables are built (`engagement.tables`), how a file is rewritten (`warehouse.compaction`).
"""
