"""Options of hooks are checked when they are given."""

from __future__ import annotations

from typing import Any

from mmrs.errors import ConfigError


def check_hook_option(hook: str, key: str, value: Any, good: bool, rule: str) -> None:
    """Tell an option that breaks its rule.

    Args:
        hook: Name of the hook.
        key: Of the option.
        value: What it is.
        good: Whether it keeps the rule.
        rule: In words, such as ``>= 1``.

    Raises:
        ConfigError: It does not.
    """
    if not good:
        raise ConfigError(
            f"must be {rule}, got {value!r}", where=f"{hook}.{key}", fix=f"set {key} {rule}"
        )
