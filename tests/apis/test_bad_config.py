"""Bad configs: the file, the key and the nearest right name, before anything is built.

Rows 21, 22, 23 (heads against classes) and 25 of the failure catalogue.
"""

from __future__ import annotations

import copy
import gc
import random
import warnings

import pytest
from mmengine.config import Config

from mmrs.apis.cli import UsageError
from mmrs.apis.config.config_check import check_config
from mmrs.apis.config.config_load import load_config, parse_cfg_options
from mmrs.errors import ConfigError, EnvironmentError
from tests.apis.tiny_run import CLASSES, ROOT, run_tool, tiny_config, write_config, write_pairs


def check(tmp_path, **changes):
    config = tiny_config(tmp_path, **changes)
    check_config(Config(config), "train")


def refusal(tmp_path, **changes) -> str:
    with pytest.raises(ConfigError) as caught:
        check(tmp_path, **changes)
    return str(caught.value)


def test_the_tiny_config_is_right(tmp_path):
    check(tmp_path)


# 21 not in a registry ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "kind", "guess"),
    [
        ("model__decode_head__type", "FCNHed", "FCNHead"),
        ("model__backbone__type", "HiResNet", "mmrs.HiResNet"),
        ("model__backbone__type", "mmrs.HighResNet", "mmrs.HiResNet"),
        ("model__decode_head__loss_decode__type", "CrossEntropy", "CrossEntropyLoss"),
        ("model__type", "EncodeDecoder", "EncoderDecoder"),
        ("train_dataloader__dataset__type", "BaseSegDataSet", "BaseSegDataset"),
        ("train_dataloader__dataset__pipeline", [{"type": "LoadImage"}], "LoadImageFromFile"),
        ("train_dataloader__sampler__type", "InfinitSampler", "InfiniteSampler"),
        ("optim_wrapper__optimizer__type", "AdamWW", "AdamW"),
        ("param_scheduler", [{"type": "PolynomialLR"}], "PolyLR"),
        ("val_evaluator__type", "SegMetric", "mmrs.SegMetric"),
        ("default_hooks__logger__type", "LogerHook", "LoggerHook"),
        ("train_cfg__type", "IterTrainLoop", "IterBasedTrainLoop"),
        ("visualizer__vis_backends", [{"type": "LocalBackend"}], "LocalVisBackend"),
    ],
)
def test_unknown_type_names_its_key_and_the_nearest(tmp_path, key, kind, guess):
    line = refusal(tmp_path, **{key: kind})
    path = key.replace("__", ".").removesuffix(".type")
    assert f": {path}" in line and ".type: " in line
    assert f"write {guess!r}" in line
    assert "custom_imports = dict(imports=[" in line


def test_unknown_package_is_to_be_imported(tmp_path):
    line = refusal(tmp_path, model__backbone__type="mylib.Net")
    assert "'mylib.Net' is no registered model" in line
    assert "install or import the package mylib: custom_imports = dict(imports=['mylib'])" in line


# 22 classes and palettes ------------------------------------------------------------------------

DATASET = "train_dataloader__dataset"


def metainfo_refusal(tmp_path, metainfo, split="train"):
    config = tiny_config(tmp_path)
    config[f"{split}_dataloader"]["dataset"]["metainfo"] = metainfo
    with pytest.raises(ConfigError) as caught:
        check_config(Config(config), "train")
    return str(caught.value)


def test_missing_classes(tmp_path):
    line = metainfo_refusal(tmp_path, {})
    assert "config: train_dataloader.dataset.metainfo: no class names" in line


@pytest.mark.parametrize("key", ["CLASSES", "Classes", "class"])
def test_classes_under_another_key(tmp_path, key):
    line = metainfo_refusal(tmp_path, {key: CLASSES})
    assert f"train_dataloader.dataset.metainfo: {key!r} is not read. Fix: write 'classes'" in line


def test_palette_of_another_length(tmp_path):
    line = metainfo_refusal(tmp_path, {"classes": CLASSES, "palette": [[0, 0, 0]] * 4})
    assert "dataset.metainfo.palette: 4 colours for 3 classes (field, water, road)" in line


def test_palette_that_is_no_colour(tmp_path):
    line = metainfo_refusal(
        tmp_path, {"classes": CLASSES, "palette": [[0, 0, 0], [0, 0], [1, 1, 1]]}
    )
    assert "metainfo.palette[1]: [0, 0] is no colour" in line


def test_classes_without_the_comma(tmp_path):
    line = metainfo_refusal(tmp_path, {"classes": ("road")})
    assert "'road' is one string and no file. Fix: write a tuple, ('road',)" in line


def test_a_class_named_twice(tmp_path):
    line = metainfo_refusal(tmp_path, {"classes": ("a", "b", "a")})
    assert "'a' is named twice" in line


def test_upper_case_class_of_a_known_data_set(tmp_path):
    changes = {
        f"{DATASET}__type": "LoveDADataset",
        f"{DATASET}__metainfo": {"classes": ("Building", "road", "water")},
    }
    line = refusal(tmp_path, **changes)
    assert "'Building' is not a class of LoveDADataset. Fix: write 'building'" in line


def test_train_and_val_must_have_the_same_classes(tmp_path):
    line = metainfo_refusal(tmp_path, {"classes": ("water", "field", "road")}, split="val")
    assert "val_dataloader.dataset.metainfo.classes: classes are water, field, road" in line
    assert "those of train_dataloader.dataset are field, water, road" in line


# 23 num_classes against the classes -------------------------------------------------------------


def test_num_classes_that_is_not_the_number_of_classes(tmp_path):
    line = refusal(tmp_path, model__decode_head__num_classes=4)
    assert "model.decode_head.num_classes: num_classes is 4, but" in line
    assert "train_dataloader.dataset has 3 classes (field, water, road)" in line
    assert "set model.decode_head.num_classes=3" in line


def test_num_classes_of_an_auxiliary_head(tmp_path):
    config = tiny_config(tmp_path)
    head = config["model"]["decode_head"]
    config["model"]["auxiliary_head"] = [head, {**head, "num_classes": 19}]
    with pytest.raises(ConfigError, match=r"model\.auxiliary_head\[1\]\.num_classes: .* is 19"):
        check_config(Config(config), "train")


# 25 unknown or misspelt keys --------------------------------------------------------------------


def misspell(word: str, rng: random.Random) -> str:
    """Two letters swapped, one doubled, or one lost; never another English word here."""
    if len(word) < 3:
        return word + "x"
    at = rng.randrange(1, len(word) - 1)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return next(
        w
        for w in (swapped, word[:at] + word[at] + word[at:], word[:at] + word[at + 1 :])
        if w != word
    )


def keys_of(node, path=()):
    """Every key path of a config whose name somebody could misspell."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key != "type":
                yield (*path, key)
            yield from keys_of(value, (*path, key))
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from keys_of(item, (*path, index))


# names that are the user's own to choose
FREE = {("default_hooks", name) for name in ("logger", "checkpoint")}
PATHS = [p for p in keys_of(tiny_config(ROOT)) if p not in FREE]


@pytest.mark.parametrize("path", PATHS, ids=lambda p: ".".join(map(str, p)))
def test_each_key_misspelt_once_is_told_with_its_path(tmp_path, path):
    config = copy.deepcopy(tiny_config(tmp_path))
    node = config
    for part in path[:-1]:
        node = node[part]
    wrong = misspell(path[-1], random.Random(".".join(map(str, path))))
    node[wrong] = node.pop(path[-1])
    with pytest.raises(ConfigError) as caught:
        check_config(Config(config), "train")
        # what is not read statically is refused where it is built
        if path[0] == "test_evaluator" or path[0].startswith("test_"):
            check_config(Config(config), "test")
    line = str(caught.value)
    assert line.startswith("config")
    assert wrong in line or path[-1] in line, line


def test_a_key_that_no_constructor_takes_is_refused_when_built(tmp_path, capsys):
    write_pairs(tmp_path, "train", 1)
    write_pairs(tmp_path, "val", 1)
    config = write_config(tmp_path, model__decode_head__frobnicate=3)
    assert run_tool("train", config, "--work-dir", tmp_path / "w") == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "model.decode_head.frobnicate: FCNHead takes no 'frobnicate'" in line


def test_a_missing_section_is_named(tmp_path):
    config = tiny_config(tmp_path)
    config["optim_wraper"] = config.pop("optim_wrapper")
    with pytest.raises(ConfigError, match="optim_wraper looks like it: rename"):
        check_config(Config(config), "train")


def test_slide_needs_its_window(tmp_path):
    line = refusal(tmp_path, model__test_cfg={"mode": "slide", "crop_size": (32, 32)})
    assert "model.test_cfg.stride: mode='slide' needs stride, got None" in line


def test_operators_that_are_not_compiled(tmp_path):
    from mmrs.compat import _exists

    if _exists("mmcv._ext"):
        pytest.skip("this mmcv has its operators")
    with pytest.raises(EnvironmentError, match=r"model\.decode_head.*CARAFEPack|DCN|compiled"):
        check(tmp_path, model__decode_head__type="PSAHead")


# overrides ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "guess"),
    [
        ("model.decode_hed.num_classes=3", "model.decode_head"),
        ("model.decode_head.num_clases=3", "model.decode_head.num_classes"),
        ("train_dataloder.batch_size=2", "train_dataloader"),
    ],
)
def test_a_misspelt_override_adds_nothing(tmp_path, option, guess):
    config = write_config(tmp_path)
    with pytest.raises(ConfigError, match=f"did you mean {guess}\\?"):
        load_config(config, cfg_options=parse_cfg_options([option]))


def test_overrides_reach_lists_and_new_keys(tmp_path):
    options = [
        "train_dataloader.dataset.pipeline.2.crop_size='(16,16)'",
        "find_unused_parameters=1",
    ]
    cfg = load_config(write_config(tmp_path), cfg_options=parse_cfg_options(options))
    assert cfg.train_dataloader.dataset.pipeline[2].crop_size == "(16,16)" or tuple(
        cfg.train_dataloader.dataset.pipeline[2].crop_size
    ) == (16, 16)
    assert cfg.find_unused_parameters == 1


def test_an_index_outside_a_list(tmp_path):
    options = parse_cfg_options(["train_dataloader.dataset.pipeline.9.prob=1"])
    with pytest.raises(ConfigError, match="is a list of 5, and '9' is no index"):
        load_config(write_config(tmp_path), cfg_options=options)


@pytest.mark.parametrize("words", [["abc"], ["a=[1,2"]])
def test_words_that_are_no_override(words):
    with pytest.raises(UsageError, match="--cfg-options"):
        parse_cfg_options(words)


# files -------------------------------------------------------------------------------------------


def test_no_such_config_names_the_nearest(tmp_path):
    write_config(tmp_path)
    with pytest.raises(ConfigError, match=r"tinny.py: there is no such .* mean .*/tiny.py"):
        load_config(tmp_path / "tinny.py")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model = dict(\nx = ", "no Python"),
        ("_base_ = ['absent.py']", "inherits a file that is not there"),
        ("custom_imports = dict(imports=['absent_package'])", "imports what is not there"),
        ("a = undefined_name", "undefined_name"),
    ],
)
def test_a_config_that_cannot_be_read_is_named(tmp_path, text, told):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told) as caught:
        load_config(path)
    line = str(caught.value)
    assert str(path) in line
    with warnings.catch_warnings():
        # MMEngine leaves the copy open that it failed to read; its traceback holds it till here
        warnings.simplefilter("ignore", ResourceWarning)
        del caught
        gc.collect()
