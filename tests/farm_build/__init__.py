"""Builds and runs the farm that tests/farm needs: a real HTCondor, Apptainer and Slurm in a tree of their own."""
