"""From the archives and rasters that people have to the folders that the configs read."""
