"""Types and keys of a config against the registries, before anything is built.

MMEngine tells of an unknown type only when it gets there, and a misspelt key that some
``**kwargs`` or ``dict.get`` swallows it never tells of.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine import registry as root
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

import mmrs.registry  # noqa: F401 - its registries become children of the roots
from mmrs.apis.config.config_keys import accepted_parameters, check_keys, refuse_unknown
from mmrs.apis.config.config_load import nearest
from mmrs.errors import ConfigError

# Where a top-level key's types live; what is not named here is a variable of the config's own.
_SECTIONS: dict[str, Registry] = {
    "model": root.MODELS,
    "tta_model": root.MODELS,
    "data_preprocessor": root.MODELS,
    "train_dataloader": root.DATASETS,
    "val_dataloader": root.DATASETS,
    "test_dataloader": root.DATASETS,
    "train_cfg": root.LOOPS,
    "val_cfg": root.LOOPS,
    "test_cfg": root.LOOPS,
    "optim_wrapper": root.OPTIM_WRAPPERS,
    "param_scheduler": root.PARAM_SCHEDULERS,
    "val_evaluator": root.METRICS,
    "test_evaluator": root.METRICS,
    "default_hooks": root.HOOKS,
    "custom_hooks": root.HOOKS,
    "visualizer": root.VISUALIZERS,
    "log_processor": root.LOG_PROCESSORS,
    "tta_pipeline": root.TRANSFORMS,
}
# Keys that change the registry of what is below them; None: its types are in no registry.
_KEYS: dict[str, Registry | None] = {
    "dataset": root.DATASETS,
    "datasets": root.DATASETS,
    "pipeline": root.TRANSFORMS,
    "transforms": root.TRANSFORMS,
    "sampler": root.DATA_SAMPLERS,
    "batch_sampler": root.DATA_SAMPLERS,
    "collate_fn": root.FUNCTIONS,
    "worker_init_fn": root.FUNCTIONS,
    "optimizer": root.OPTIMIZERS,
    "vis_backends": root.VISBACKENDS,
    "scaling": None,  # these two of RasterSegDataset, which checks them
    "window_sampler": None,
}
# Modules of a model whose keys go straight to their constructor; deeper ones take theirs apart.
_MODULE_KEYS = (
    "backbone",
    "neck",
    "decode_head",
    "auxiliary_head",
    "loss_decode",
    "data_preprocessor",
    "projector",
)
# Dicts without a type that are read key by key, where a misspelt one is never noticed.
_CLOSED: dict[str, tuple[str, ...]] = {
    "env_cfg": ("cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"),
    "env_cfg.mp_cfg": ("mp_start_method", "opencv_num_threads"),
    "auto_scale_lr": ("enable", "base_batch_size"),
    "optim_wrapper.paramwise_cfg": (
        "custom_keys",
        "bias_lr_mult",
        "bias_decay_mult",
        "norm_decay_mult",
        "dwconv_decay_mult",
        "flat_decay_mult",
        "bypass_duplicate",
        "dcn_offset_lr_mult",
    ),
}
_LOADER_KEYS = (
    "dataset",
    "sampler",
    "batch_sampler",
    "collate_fn",
    "worker_init_fn",
    "num_batch_per_epoch",
    "disable_subprocess_warning",
)
# Popped before the constructor sees them.
_POPPED: dict[str, tuple[str, ...]] = {
    "hook": ("priority",),
    "parameter scheduler": ("convert_to_iter_based",),
    "optim_wrapper": ("constructor", "paramwise_cfg"),
    "visualizer": ("name",),
    "loop": ("by_epoch",),
}
# Top-level names that MMSeg's configs and tools use besides the Runner's own.
_COMMON_NAMES = (
    "train_pipeline val_pipeline test_pipeline tta_pipeline tta_model dataset_type data_root "
    "crop_size img_scale img_ratios norm_cfg act_cfg conv_cfg optimizer vis_backends "
    "custom_imports runner_type model_wrapper_cfg compile sync_bn find_unused_parameters "
    "num_classes checkpoint_file checkpoint metainfo class_weight backbone_norm_cfg"
).split()

RUNNER_KEYS = tuple(
    name for name in inspect.signature(Runner.__init__).parameters if name not in ("self", "cfg")
)


def config_name(cfg: Config) -> str:
    """Return the config's file name, as error lines put it first."""
    return str(cfg.filename) if getattr(cfg, "filename", None) else "config"


def check_types_and_keys(cfg: Config) -> None:
    """Raise at the first type that is in no registry, or key that nothing reads.

    Args:
        cfg: A whole config; its default scope must be initialised.

    Raises:
        ConfigError: Naming the file and the key, the nearest right name, and what to import.
    """
    name = config_name(cfg)
    for key in cfg:
        if key in RUNNER_KEYS or key in _COMMON_NAMES:
            continue
        guess = nearest(key, [*RUNNER_KEYS, "tta_model", "tta_pipeline"], cutoff=0.88)
        if guess is not None:
            raise ConfigError(
                "nothing reads this key",
                where=f"{name}: {key}",
                fix=f"did you mean {guess}? A variable of your own needs another name",
            )
    for section, registry in _SECTIONS.items():
        if cfg.get(section) is not None:
            _Walk(name).visit(cfg[section], section, registry)
    _check_untyped(cfg, name)


class _Walk:
    """One pass over a section; ``registry`` follows the keys down."""

    def __init__(self, file_name: str) -> None:
        self.file_name = file_name

    def visit(self, node: Any, path: str, registry: Registry | None) -> None:
        if isinstance(node, list | tuple):
            for index, item in enumerate(node):
                self.visit(item, f"{path}[{index}]", registry)
            return
        if not isinstance(node, Mapping):
            return
        if node.get("_scope_") is not None:
            return  # built in another library's scope, by its rules
        if "type" in node:
            self._check(node, path, registry)
            if str(node["type"]).rpartition(".")[2] == "Albu":
                return  # its transforms are Albumentations' own
        for child, value in node.items():
            self.visit(value, f"{path}.{child}", self._registry_below(child, registry))

    @staticmethod
    def _registry_below(key: str, registry: Registry | None) -> Registry | None:
        if registry is None:
            return None
        if registry is root.MODELS:
            # assigners, samplers, initialisers and norms are looked up by their owners
            return root.MODELS if key in _MODULE_KEYS or key in ("module", "model") else None
        return _KEYS.get(key, registry)

    def _check(self, node: Mapping, path: str, registry: Registry | None) -> None:
        kind = node["type"]
        if registry is None or not kind:
            return
        cls = resolve(kind, registry) if isinstance(kind, str) else kind
        if cls is None:
            if any(resolve(kind, other) is not None for other in (root.MODELS, root.EVALUATOR)):
                return
            raise unknown_type(kind, registry, where=f"{self.file_name}: {path}.type")
        popped = _POPPED.get(registry.name, ())
        check_keys(node, cls, where=f"{self.file_name}: {path}", extra=popped)


def resolve(kind: str, registry: Registry) -> Any:
    """Return what ``kind`` names in ``registry`` under the default scope, or None."""
    with registry.switch_scope_and_registry(None) as scoped:
        try:
            return scoped.get(kind)
        except (RuntimeError, ImportError):
            return None


def unknown_type(kind: str, registry: Registry, *, where: str) -> ConfigError:
    """Return the error for a type that ``registry`` does not hold."""
    scope = kind.rpartition(".")[0]
    guess = _nearest_type(kind, dict(_registered_names(registry)))
    imported = f"custom_imports = dict(imports=['{scope or 'your_package.your_module'}'])"
    if scope and not any(child == scope for child in registry._get_root_registry().children):
        fix = f"install or import the package {scope}: {imported}"
        if guess is not None:
            fix = f"write {guess!r}, or {fix}"
    elif guess is not None:
        fix = f"write {guess!r}, or, if it is a class of your own, import it: {imported}"
    else:
        fix = f"import the module that registers it: {imported}"
    return ConfigError(f"{kind!r} is no registered {registry.name}", where=where, fix=fix)


def _nearest_type(kind: str, names: Mapping[str, str]) -> str | None:
    """Return the registered name meant by ``kind``: but for scope, case, an ending, or a slip.

    Args:
        kind: As the config has it.
        names: Name as a config writes it -> bare name.
    """
    short = kind.rpartition(".")[2].lower()
    for full, bare in names.items():
        if bare.lower() == short:
            return full
    longer = [full for full, bare in names.items() if bare.lower().startswith(short)]
    if longer and len(short) > 3:
        return min(longer, key=len)
    guess = nearest(kind, list(names))
    if guess is None:
        bare_guess = nearest(short, list(set(names.values())))
        guess = next((full for full, bare in names.items() if bare == bare_guess), None)
    return guess


def _registered_names(registry: Registry) -> Iterator[tuple[str, str]]:
    """Yield (name as a config writes it, bare name) of everything in a registry's tree."""
    default = root.DefaultScope.get_current_instance()
    base = registry._get_root_registry()
    for node in (base, *base.children.values()):
        bare = node is base or (default is not None and node.scope == default.scope_name)
        if node.scope == "mmrs":
            node.import_from_location()  # nothing of ours may have been asked for yet
        for name in node.module_dict:
            yield (name if bare else f"{node.scope}.{name}"), name


def _check_untyped(cfg: Config, name: str) -> None:
    """Keys of the dicts that are read key by key."""
    for path, known in _CLOSED.items():
        node: Any = cfg
        for part in path.split("."):
            node = node.get(part) if isinstance(node, Mapping | Config) else None
        custom = path.endswith("paramwise_cfg") and cfg.optim_wrapper.get("constructor")
        if isinstance(node, Mapping) and not custom:
            refuse_unknown(node, known, where=f"{name}: {path}")
    if isinstance(cfg.get("randomness"), Mapping):
        known = ("seed", "diff_rank_seed", "deterministic")
        refuse_unknown(cfg.randomness, known, where=f"{name}: randomness")
    loader_keys = (*_LOADER_KEYS, *accepted_parameters(DataLoader)[0])
    for section in ("train_dataloader", "val_dataloader", "test_dataloader"):
        loader = cfg.get(section)
        if isinstance(loader, Mapping):
            refuse_unknown(loader, loader_keys, where=f"{name}: {section}")
    by_epoch = isinstance(cfg.get("train_cfg"), Mapping) and cfg.train_cfg.get("by_epoch")
    loops = {
        "train_cfg": "EpochBasedTrainLoop" if by_epoch else "IterBasedTrainLoop",
        "val_cfg": "ValLoop",
        "test_cfg": "TestLoop",
    }
    for section, kind in loops.items():
        loop = cfg.get(section)
        if isinstance(loop, Mapping) and "type" not in loop:
            target = resolve(kind, root.LOOPS)
            check_keys(loop, target, where=f"{name}: {section}", extra=("by_epoch",))
    processor = cfg.get("log_processor")
    if isinstance(processor, Mapping) and "type" not in processor:
        target = resolve("LogProcessor", root.LOG_PROCESSORS)
        check_keys(processor, target, where=f"{name}: log_processor")
