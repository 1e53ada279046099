"""mmrs: high-resolution remote sensing for MMSegmentation."""

from mmrs.version import __version__

__all__ = ["__version__"]
