"""One module per place where workers are started."""
