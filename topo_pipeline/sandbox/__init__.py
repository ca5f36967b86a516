"""A stand-in Topo API over real HTTP: for the demo, development and tests. Knows nothing of the pipeline."""
