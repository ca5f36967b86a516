"""Statistics in SQL: temporary macros, so that they serve a file and a lake alike and leave nothing behind."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# The standard normal's 97.5 % quantile, to double precision.
Z_95 = 1.959963984540054

# Wilson's score interval (E. B. Wilson, JASA 22, 1927). DOUBLE throughout: an INTEGER's square overflows above 46,340.
_WILSON = """
CREATE OR REPLACE TEMP MACRO wilson_low(num, den) AS CASE WHEN den > 0 THEN greatest(0.0,
    (num::DOUBLE + {z2} / 2 - {z} * sqrt(num::DOUBLE * (den::DOUBLE - num) / den + {z2} / 4)) / (den::DOUBLE + {z2}))
END;
CREATE OR REPLACE TEMP MACRO wilson_high(num, den) AS CASE WHEN den > 0 THEN least(1.0,
    (num::DOUBLE + {z2} / 2 + {z} * sqrt(num::DOUBLE * (den::DOUBLE - num) / den + {z2} / 4)) / (den::DOUBLE + {z2}))
END;
CREATE OR REPLACE TEMP MACRO rate(num, den) AS CASE WHEN den > 0 THEN num::DOUBLE / den END;
CREATE OR REPLACE TEMP MACRO evidence(num, den, small, usable, events) AS CASE
    WHEN den = 0 THEN 'none' WHEN den < small THEN 'too_small'
    WHEN den >= usable AND num >= events THEN 'usable' WHEN den >= small THEN 'directional' END;
"""

# The hybrid score interval of a difference of two proportions (R. G. Newcombe, Statistics in Medicine 17, 1998,
# method 10), from the Wilson interval of each. NULL where either is.
_NEWCOMBE = """
CREATE OR REPLACE TEMP MACRO newcombe_low(num, den, num_before, den_before) AS
    rate(num, den) - rate(num_before, den_before) - sqrt(
        pow(rate(num, den) - wilson_low(num, den), 2)
        + pow(wilson_high(num_before, den_before) - rate(num_before, den_before), 2));
CREATE OR REPLACE TEMP MACRO newcombe_high(num, den, num_before, den_before) AS
    rate(num, den) - rate(num_before, den_before) + sqrt(
        pow(wilson_high(num, den) - rate(num, den), 2)
        + pow(rate(num_before, den_before) - wilson_low(num_before, den_before), 2));
"""

# What the tables are made by, beside their own SQL.
DEFINITIONS = _WILSON.format(z=repr(Z_95), z2=repr(Z_95**2)) + _NEWCOMBE


def define(connection: "DuckDBPyConnection") -> None:
    """Define `rate`, `wilson_low`, `wilson_high`, `newcombe_low`, `newcombe_high` (95 %) and `evidence`.

    A rate and its bounds are NULL where the denominator is 0, and all of it where there is no denominator.
    """
    connection.execute(DEFINITIONS)
