"""Run options: models, layers, origins."""
