"""What a person is told by themselves: what began to fail, what works again, and how it gets to them.

Knows neither the pipeline's runs nor its records: `defs.alerts` reads those.
"""
