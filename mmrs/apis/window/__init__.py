"""A model that predicts windows: networks of MMSegmentation, augmented ones, their memory."""
