"""Policies: networks, losses, preprocessing, ensembles, checkpoints, export. All that driving needs."""
