"""Weights of other networks and other runs: names, targets, reports."""
