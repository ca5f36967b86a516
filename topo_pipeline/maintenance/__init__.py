"""Operations on a whole warehouse: back it up, restore it, erase a person.

The order of steps and changes to files next to the warehouse belong here. Elsewhere: finding rows
(`warehouse.erasure`), building tables (`engagement.building`).
"""
