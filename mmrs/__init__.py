"""mmrs: high-resolution remote sensing for MMSegmentation.

Importing it costs nothing and imports neither PyTorch nor MMEngine; it makes ``mmseg::`` and
``mmrs::`` config inheritance work.
"""

from mmrs.compat import register_config_scopes
from mmrs.version import __version__

__all__ = ["__version__"]

register_config_scopes()
