"""Ratios, measured in one run on a cluster of its own: our figure beside the bare shape of the same work."""
