"""Rows of a scene on their way to a map: in memory, on disk, from several processes."""
