"""Maps as files: classes, scores, areas; written whole or not at all, and read back."""
