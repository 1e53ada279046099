"""Unregistered modules: the blocks that backbones, necks and heads are made of."""
