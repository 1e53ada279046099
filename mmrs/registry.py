"""The registries of mmrs: children of MMEngine's roots under the scope ``mmrs``.

MMEngine imports ``{scope}.registry`` by itself when it meets a prefixed type, so
``type='mmrs.HiResNet'`` resolves in any MMSegmentation or MMPreTrain config without
``custom_imports``.  ``locations`` are imported on the first lookup, never before.
"""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

MODELS = Registry("model", parent=MMENGINE_MODELS, scope="mmrs", locations=["mmrs.models"])
DATASETS = Registry("dataset", parent=MMENGINE_DATASETS, scope="mmrs", locations=["mmrs.datasets"])
DATA_SAMPLERS = Registry(
    "data sampler", parent=MMENGINE_DATA_SAMPLERS, scope="mmrs", locations=["mmrs.datasets"]
)
TRANSFORMS = Registry(
    "transform", parent=MMENGINE_TRANSFORMS, scope="mmrs", locations=["mmrs.datasets.transforms"]
)
METRICS = Registry("metric", parent=MMENGINE_METRICS, scope="mmrs", locations=["mmrs.engine"])
HOOKS = Registry("hook", parent=MMENGINE_HOOKS, scope="mmrs", locations=["mmrs.engine"])
