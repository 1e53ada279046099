"""Configs as the tools read them: loading, unknown keys, types, classes, errors of building."""
