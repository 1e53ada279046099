"""Every run config is built, stepped once and predicted once."""

import copy
import re

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, METRICS, MODELS, TRANSFORMS
from mmseg.structures import SegDataSample

from tests.configs.small import CONFIGS, SIDE_PX, load, run_configs, shrink

RUNS = run_configs()
PROMISED = [
    *(f"hiresnet/hiresnet_{name}.py" for name in ("loveda", "loveda_1gpu", "loveda_trainval")),
    *(f"hiresnet/hiresnet_{name}.py" for name in ("potsdam", "vaihingen", "tiny_loveda")),
    *(f"rmnet/{name}_whdld.py" for name in ("rmnet", "cnet", "cnet_rbm", "cnet_msfm", "unet")),
]
# stock configs still say `pretrained`, set `reduce_zero_label` in the pipeline, and let their
# cross-entropy count ignored pixels in its divisor
pytestmark = [
    pytest.mark.filterwarnings("ignore:Default ``avg_non_ignore`` is False:UserWarning"),
    pytest.mark.filterwarnings("ignore:DeprecationWarning. pretrained is deprecated:UserWarning"),
    pytest.mark.filterwarnings("ignore:`reduce_zero_label` will be deprecated:UserWarning"),
    # upstream's advice for two classes; the paper's heads have two outputs
    pytest.mark.filterwarnings("ignore:For binary segmentation:UserWarning"),
]


def make_batch(num_classes: int, channels: int) -> dict:
    """Two noise images, (H, W) unlike the crop in one, and labels of every class."""
    generator = torch.Generator().manual_seed(0)
    batch: dict = {"inputs": [], "data_samples": []}
    for height, width in ((SIDE_PX, SIDE_PX), (SIDE_PX - 16, SIDE_PX)):
        image = torch.randint(0, 256, (channels, height, width), generator=generator).to(
            torch.uint8
        )
        labels = torch.randint(0, num_classes, (1, height, width), generator=generator)
        labels[:, :4] = 255
        meta = {"img_shape": (height, width), "ori_shape": (height, width), "img_path": ""}
        sample = SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=labels))
        batch["inputs"].append(image)
        batch["data_samples"].append(sample)
    return batch


def num_classes_of(model) -> int:
    head = model.decode_head
    return (head[-1] if isinstance(head, torch.nn.ModuleList) else head).num_classes


def test_configs_are_found():
    assert set(PROMISED) <= set(RUNS)
    assert sum(name.startswith("hiresnet/ablation/") for name in RUNS) == 16
    assert sum(name.startswith("mix/") for name in RUNS) >= 6


@pytest.mark.parametrize("name", RUNS)
def test_config_steps_once_and_predicts_once(name):
    torch.manual_seed(0)
    config = shrink(load(name))
    model = MODELS.build(config.model)
    num_classes = num_classes_of(model)
    optim_wrapper = build_optim_wrapper(model, config.optim_wrapper)
    before = copy.deepcopy(dict(model.named_parameters()))
    reached = set()
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(lambda p: reached.add(id(p)))
    model.train()

    channels = config.model.backbone.get("in_channels", 3)
    logs = model.train_step(make_batch(num_classes, channels), optim_wrapper)

    assert all(torch.isfinite(value).all() for value in logs.values()), logs
    assert logs["loss"] > 0
    idle = [key for key, parameter in model.named_parameters() if id(parameter) not in reached]
    assert not idle, f"no gradient reaches {idle}"
    moved = [key for key, p in model.named_parameters() if (p != before[key]).any()]
    assert len(moved) > 0.9 * len(before)

    model.eval()
    batch = make_batch(num_classes, channels)
    one = {key: value[1:] for key, value in batch.items()}
    (result,) = model.test_step(one)
    assert result.pred_sem_seg.data.shape == (1, SIDE_PX - 16, SIDE_PX)
    assert result.seg_logits.data.shape[0] == num_classes
    assert 0 <= result.pred_sem_seg.data.min() <= result.pred_sem_seg.data.max() < num_classes


def datasets_of(dataset) -> list:
    """A data set's config and those of the data sets that it wraps."""
    inner = [*dataset.get("datasets", []), *_as_list(dataset.get("dataset"))]
    return [dataset, *(each for child in inner for each in datasets_of(child))]


@pytest.mark.parametrize("name", RUNS)
def test_every_part_of_a_config_names_a_known_type(name):
    config = load(name)
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        if loader is None:
            continue
        for dataset in datasets_of(loader.dataset):
            assert DATASETS.get(dataset.type) is not None
            for step in dataset.get("pipeline") or []:
                TRANSFORMS.build(step)
    for step in config.get("tta_pipeline", []):
        TRANSFORMS.build(step)
    for evaluator in (config.val_evaluator, config.test_evaluator):
        if evaluator is not None:
            METRICS.build(evaluator)


@pytest.mark.parametrize("name", RUNS)
def test_number_of_classes_is_that_of_the_data(name):
    config = load(name)
    model = config.model
    dataset = config.test_dataloader.dataset
    # a data set of the user's own names its classes in the config
    named = DATASETS.get(dataset.type).METAINFO or dataset.metainfo
    classes = named["classes"]
    heads = [*_as_list(model.decode_head), *_as_list(model.get("auxiliary_head"))]
    assert heads
    assert {head.num_classes for head in heads} == {len(classes)}


# the demo trains its own weights
@pytest.mark.parametrize(
    "name", [n for n in RUNS if not n.startswith(("mix/", "hiresnet/hiresnet_demo"))]
)
def test_header_says_that_no_weights_ship(name):
    header = (CONFIGS / name).read_text(encoding="utf-8").partition("_base_")[0]
    assert "No trained weights ship with mmrs" in header


@pytest.mark.parametrize("name", RUNS)
def test_readme_of_a_folder_links_every_run_in_it(name):
    folder, _, rest = name.partition("/")
    assert f"]({rest})" in (CONFIGS / folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("readme", sorted(CONFIGS.glob("*/README.md")), ids=lambda p: p.parent.name)
def test_links_of_a_readme_lead_somewhere(readme):
    links = re.findall(r"\]\((?!http)([^)#]+)\)", readme.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (readme.parent / link).exists()] == []


def _as_list(part) -> list:
    if part is None:
        return []
    return list(part) if isinstance(part, list) else [part]
