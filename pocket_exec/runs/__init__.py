"""What a run leaves in its output directory: results, run record, logs, lock."""
