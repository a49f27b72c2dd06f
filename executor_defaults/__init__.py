"""Defaults of every option, one YAML file per kind of executor, batch system and site."""
