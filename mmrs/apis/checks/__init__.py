"""The look at a data set: files, pictures, labels, pairs, and what was found."""
