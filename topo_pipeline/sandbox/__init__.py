"""A sandbox version of Topo's API over real HTTP, for the demo, development and tests. Independent of the pipeline."""
