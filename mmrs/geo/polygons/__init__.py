"""From a map's regions to polygons in a file: borders, rings, sieving, simplifying, formats."""
