"""Batch systems, and the Dask cluster whose workers are their jobs."""
