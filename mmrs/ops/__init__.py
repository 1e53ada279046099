"""Pure tensor functions: the mathematics of the papers, without state."""
