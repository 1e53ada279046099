"""The numbers of the paper that Hi-ResNet's configs must show: sizes, losses, schedule, data."""

import math

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmseg.registry import MODELS
from torch import nn

from tests.configs.small import load

# config, classes, parameters in M: the paper's (tables VI, VII and X) and a faithful build's
ROWS = [
    ("ablation/hrnet_w48", 6, 68.6, 68.647),
    ("ablation/v1", 6, 96.5, 96.560),
    ("ablation/v2", 6, 153.3, 153.319),
    ("ablation/base", 6, 46.5, 46.502),
    ("ablation/funnel", 6, 50.2, 50.248),
    ("ablation/ia", 7, 22.3, 22.328),
    ("ablation/refinement", 7, 26.0, 26.011),
    ("ablation/hrnet_w48_asp_ocr", 7, 75.9, 75.968),
]
# multiply-accumulates of the convolutions at 512 x 512, in G
CONV_MACS = [
    ("ablation/hrnet_w48", 6, 139.1),
    ("ablation/v1", 6, 204.4),
    ("ablation/v2", 6, 204.4),
    ("ablation/base", 6, 139.35),
    ("ablation/ia", 7, 122),
    ("hiresnet_loveda", 7, 181),
]


def build_on_meta(name: str, num_classes: int) -> nn.Module:
    """The model at full width, without memory for its weights."""
    config = load(f"hiresnet/{name}.py")
    config.model.decode_head.num_classes = num_classes
    with torch.device("meta"):
        return MODELS.build(config.model)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("name", "num_classes", "paper", "faithful"), ROWS)
def test_parameter_counts_solve_the_ablation_table(name, num_classes, paper, faithful):
    millions = count(build_on_meta(name, num_classes)) / 1e6
    assert abs(millions / paper - 1) < 0.005
    assert abs(millions - faithful) < 0.01


@pytest.mark.parametrize("name", ["hiresnet_loveda", "hiresnet_loveda_trainval"])
def test_modules_of_the_full_model_match_their_sums(name):
    # a convolution n -> m with kernel k has n m k^2 weights, a batch norm of n has 2 n
    model = build_on_meta(name, num_classes=7)
    assert {key: count(part) for key, part in model.backbone.named_children()} == {
        "stem": 38_726,
        "funnel": 688_768 + 3 * 1_114_624,
        "transition1": 332_800,
        "layer1": 342_432,
        "transition2": 166_080,
        "layer2": 15_861_888,
    }
    assert count(model.decode_head) == 1_553_408 + 3_683_200


def test_tiny_model_keeps_every_kind_of_module_and_half_a_million_parameters():
    tiny, full = build_on_meta("hiresnet_tiny_loveda", 7), build_on_meta("hiresnet_loveda", 7)
    assert {type(part) for part in tiny.modules()} == {type(part) for part in full.modules()}
    assert 0.3e6 < count(tiny) < 0.6e6


@pytest.mark.parametrize(("name", "num_classes", "giga"), CONV_MACS)
def test_convolution_macs_at_512(name, num_classes, giga):
    model = build_on_meta(name, num_classes)
    total = 0

    def add(module: nn.Conv2d, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal total
        del inputs
        total += output[0].numel() * module.weight[0].numel()

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(add)
    model.eval()
    with torch.no_grad():
        model.decode_head(model.backbone(torch.empty(1, 3, 512, 512, device="meta")))
    assert total / 1e9 == pytest.approx(giga, rel=0.005)


@pytest.mark.parametrize(
    "name", ["ablation/cea", "ablation/weights_softmax", "ablation/coarse_refined_1_1"]
)
def test_rows_of_the_complete_model_are_its_config(name):
    complete = load("hiresnet/hiresnet_vaihingen.py")
    assert load(f"hiresnet/{name}.py").to_dict() == complete.to_dict()


def test_ablations_differ_from_the_complete_run_in_the_model_only():
    complete = load("hiresnet/hiresnet_vaihingen.py").to_dict()
    for name, *_ in ROWS:
        config = load(f"hiresnet/{name}.py").to_dict()
        for part in (config, complete):
            part.pop("model", None)
            part.pop("data_preprocessor", None)
        assert config == complete, name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ablation/weights_1_1_1", (1, 1, 1)),
        ("ablation/weights_1_1_04", (1, 1, 0.4)),
        ("ablation/weights_softmax", (0.3923, 0.3923, 0.2153)),
        ("ablation/refinement", (0.5, 0.5)),
        ("hiresnet_loveda", (0.3923, 0.3923, 0.2153)),
    ],
)
def test_terms_of_the_loss_carry_the_weights_of_table_viii(name, expected):
    loss = MODELS.build(load(f"hiresnet/{name}.py").model.decode_head.loss_decode)
    weights = loss.draw(torch.zeros(1, 4, 4, dtype=torch.long), 6)["term_weights"]
    assert weights.tolist() == pytest.approx(expected, abs=1e-4)


def test_random_weights_are_drawn_anew_every_step_and_normalised():
    loss = MODELS.build(load("hiresnet/ablation/weights_random.py").model.decode_head.loss_decode)
    target = torch.zeros(1, 4, 4, dtype=torch.long)
    draws = torch.stack([loss.draw(target, 6)["term_weights"] for _ in range(8)])
    assert draws.sum(1).tolist() == pytest.approx([1.0] * 8)
    assert len({tuple(draw.tolist()) for draw in draws}) == 8


@pytest.mark.parametrize(
    ("name", "coarse", "refined"),
    [
        ("ablation/coarse_refined_04_1", 0.4, 1.0),
        ("ablation/coarse_refined_1_1", 1.0, 1.0),
        ("ablation/coarse_refined_1_04", 1.0, 0.4),
        ("hiresnet_loveda", 1.0, 1.0),
    ],
)
def test_coarse_and_refined_losses_carry_the_ratio_of_fig_8(name, coarse, refined):
    head = build_on_meta(name, 6).decode_head
    assert (head.coarse_loss_weight, head.refined_loss_weight) == (coarse, refined)


@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        ("hiresnet_loveda", 400),
        ("hiresnet_loveda_1gpu", 400),
        ("hiresnet_loveda_trainval", 400),
        ("hiresnet_potsdam", 200),
        ("hiresnet_vaihingen", 200),
    ],
)
def test_rate_warms_up_for_three_epochs_then_follows_a_cosine(name, epochs):
    per_epoch = 5
    config = load(f"hiresnet/{name}.py")
    config.optim_wrapper.pop("accumulative_counts", None)
    wrapper = build_optim_wrapper(nn.Linear(1, 1), config.optim_wrapper)
    schedulers = []
    for settings in config.param_scheduler:
        settings.pop("convert_to_iter_based")
        scheduler = PARAM_SCHEDULERS.get(settings.pop("type"))
        schedulers.append(
            scheduler.build_iter_from_epoch(wrapper, **settings, epoch_length=per_epoch)
        )
    rates = []
    for _ in range(epochs * per_epoch):
        rates.append(wrapper.get_lr()["lr"][0])
        wrapper.step()
        for scheduler in schedulers:
            scheduler.step()

    assert config.train_cfg.max_epochs == epochs
    assert rates[0] < 1e-6
    assert max(rates) == pytest.approx(1e-4, rel=0.01)
    assert rates[3 * per_epoch] == max(rates)
    assert rates[: 3 * per_epoch] == sorted(rates[: 3 * per_epoch])
    for epoch in (20, epochs // 2, epochs - 1):
        cosine = 0.5e-4 * (1 + math.cos(math.pi * (epoch - 3) / (epochs - 3)))
        assert rates[epoch * per_epoch] == pytest.approx(cosine, rel=0.02)


@pytest.mark.parametrize(
    ("name", "accumulation"), [("hiresnet_loveda", 1), ("hiresnet_loveda_1gpu", 4)]
)
def test_optimiser_steps_once_for_16_images_at_the_papers_settings(name, accumulation):
    config = load(f"hiresnet/{name}.py")
    assert config.train_dataloader.batch_size * accumulation == 16
    assert config.optim_wrapper.get("accumulative_counts", 1) == accumulation
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("AdamW", 1e-4, 1e-8)
    # what MMEngine divides by is the loader's batch on all devices
    assert config.auto_scale_lr.base_batch_size == config.train_dataloader.batch_size
    assert not config.auto_scale_lr.enable
