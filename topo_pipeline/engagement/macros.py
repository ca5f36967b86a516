"""Statistics in SQL: temporary macros, so that they serve a file and a lake alike and leave nothing behind."""

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
    WHEN den IS NULL THEN NULL WHEN den = 0 THEN 'none' WHEN den < small THEN 'too_small'
    WHEN den >= usable AND num >= events THEN 'usable' ELSE 'directional' END;
"""


def define(connection: DuckDBPyConnection) -> None:
    """Define `rate`, `wilson_low`, `wilson_high` (95 %) and `evidence` on this connection.

    A rate and its bounds are NULL where the denominator is 0 or, for a rate that means nothing there, NULL.
    """
    connection.execute(_WILSON.format(z=repr(Z_95), z2=repr(Z_95**2)))
