"""From a scene's windows to its maps: reading, blending, writing, resuming, several processes."""
