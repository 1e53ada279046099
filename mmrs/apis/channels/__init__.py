"""The channel contract: which bands, in which order and scale, a model was trained on."""
