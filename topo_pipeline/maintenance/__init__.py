"""Operations on a whole warehouse: back it up, restore it, erase a person.

The order of steps and changes to files next to the warehouse belong here. Elsewhere: finding rows
(`warehouse.forgetting`), building tables (`engagement.tables`), rewriting a file (`warehouse.compaction`).
"""
