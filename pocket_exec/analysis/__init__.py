"""The user's analysis: cfg.py, its fileset and its processor."""
