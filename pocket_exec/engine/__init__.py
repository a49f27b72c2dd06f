"""The engine: this project's coffea executor, the same on every pool of workers."""
