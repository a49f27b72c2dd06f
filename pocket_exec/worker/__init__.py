"""How a worker starts: image, environment and script, as text."""
