"""Statistics as temporary SQL macros, which work in a file and in a lake and leave nothing in the warehouse."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# The 97.5% quantile of the standard normal distribution, to double precision.
Z_95 = 1.959963984540054

# Wilson's score interval (E. B. Wilson, JASA 22, 1927). DOUBLE because the square of an INTEGER overflows above 46,340.
_WILSON = """
CREATE OR REPLACE TEMP MACRO wilson_low(num, den, z := {z}) AS CASE WHEN den > 0 THEN greatest(0.0,
    (num::DOUBLE + z * z / 2 - z * sqrt(num::DOUBLE * (den::DOUBLE - num) / den + z * z / 4)) / (den::DOUBLE + z * z))
END;
CREATE OR REPLACE TEMP MACRO wilson_high(num, den, z := {z}) AS CASE WHEN den > 0 THEN least(1.0,
    (num::DOUBLE + z * z / 2 + z * sqrt(num::DOUBLE * (den::DOUBLE - num) / den + z * z / 4)) / (den::DOUBLE + z * z))
END;
CREATE OR REPLACE TEMP MACRO rate(num, den) AS CASE WHEN den > 0 THEN num::DOUBLE / den END;
CREATE OR REPLACE TEMP MACRO evidence(num, den, small, usable, events) AS CASE
    WHEN den = 0 THEN 'none' WHEN den < small THEN 'too_small'
    WHEN den >= usable AND num >= events THEN 'usable' WHEN den >= small THEN 'directional' END;
"""

# The hybrid score interval of a difference of two proportions (R. G. Newcombe, Statistics in Medicine 17, 1998,
# method 10), from the Wilson interval of each. NULL when either interval is NULL.
_NEWCOMBE = """
CREATE OR REPLACE TEMP MACRO newcombe_low(num, den, num_before, den_before, z := {z}) AS
    rate(num, den) - rate(num_before, den_before) - sqrt(
        pow(rate(num, den) - wilson_low(num, den, z := z), 2)
        + pow(wilson_high(num_before, den_before, z := z) - rate(num_before, den_before), 2));
CREATE OR REPLACE TEMP MACRO newcombe_high(num, den, num_before, den_before, z := {z}) AS
    rate(num, den) - rate(num_before, den_before) + sqrt(
        pow(wilson_high(num, den, z := z) - rate(num, den), 2)
        + pow(rate(num_before, den_before) - wilson_low(num_before, den_before, z := z), 2));
"""

# Only these sequences are ranked and raise findings. NULL is no sequence: activities that name none.
_JUDGED = """
CREATE OR REPLACE TEMP MACRO is_judged(sequence_template_id, status) AS
    sequence_template_id IS NOT NULL AND coalesce(status, 'ACTIVE') = 'ACTIVE';
"""

# Part of each table's fingerprint, because the tables use these macros.
DEFINITIONS = (_WILSON + _NEWCOMBE).format(z=repr(Z_95)) + _JUDGED


def define(connection: "DuckDBPyConnection") -> None:
    """Define `rate`, `wilson_low`, `wilson_high`, `newcombe_low`, `newcombe_high`, `evidence` and `is_judged`.

    Intervals are 95% unless the call names another quantile: `wilson_low(num, den, z := 2.8)`. A rate and its bounds
    are NULL when the denominator is 0 or NULL. The evidence is NULL when the denominator is NULL.
    """
    connection.execute(DEFINITIONS)
