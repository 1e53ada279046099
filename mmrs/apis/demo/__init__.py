"""The demo: a drawn scene, its data set, baselines and report."""
