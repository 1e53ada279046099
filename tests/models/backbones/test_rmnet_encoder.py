"""RMNetEncoder: the paper's parameters, torchvision's names, sizes, partial weights."""

import logging
import urllib.error

import pytest
import torch
import torchvision

from mmrs.errors import CheckpointError, ConfigError
from mmrs.models.backbones import RMNetEncoder, matching_weights

TINY = {"base_channels": 4, "num_blocks": (2, 1, 2, 1)}
RANDOM_IN_FULL = [
    *(f"layer1.{i}.conv1.weight" for i in range(3)),  # 3x3 here, 1x1 there
    "layer2.0.conv1.weight",  # from 64 channels here, from 256 there
    "layer2.0.downsample.0.weight",
]


def count(module):
    return sum(p.numel() for p in module.parameters())


def is_counter(name):
    return name.endswith("num_batches_tracked")


@pytest.fixture(scope="module")
def full():
    with torch.device("meta"):
        return RMNetEncoder()


@pytest.fixture
def log(monkeypatch):
    """What the loader logs, as (level, line)."""
    lines = []

    def keep(message, logger=None, level=logging.INFO):
        lines.append((level, message))

    monkeypatch.setattr(matching_weights, "print_log", keep)
    return lines


def pretrained(path, **options):
    return {"type": "Pretrained", "checkpoint": str(path), **options}


def test_parameters_of_the_full_encoder_are_the_papers(full):
    assert count(full) == 23_391_296
    assert abs(count(full) / 23.39e6 - 1) < 0.005
    # a convolution n -> m with kernel k has n m k^2 weights, a batch norm of n has 2 n
    assert count(full.conv1) + count(full.bn1) == 3 * 64 * 49 + 128
    assert count(full.layer1) == 3 * (2 * 9 * 64 * 64 + 4 * 64)
    with torch.device("meta"):
        plain = RMNetEncoder(residual=False)
    shortcuts = sum(i * o + 2 * o for i, o in ((64, 512), (512, 1024), (1024, 2048)))
    assert count(full) - count(plain) == shortcuts


def test_names_and_shapes_are_resnet_50s_but_for_five_tensors(full):
    with torch.device("meta"):
        stock = torchvision.models.resnet50().state_dict()
    ours = {k: v for k, v in full.state_dict().items() if not is_counter(k)}
    assert set(ours) <= set(stock)
    assert [k for k, v in ours.items() if stock[k].shape != v.shape] == RANDOM_IN_FULL
    assert len(ours) == 245


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (50, 77), (33, 35)])
@pytest.mark.parametrize("residual", [True, False])
def test_maps_are_at_strides_2_to_32_for_any_size(size, residual):
    encoder = RMNetEncoder(**TINY, residual=residual)
    h, w = size
    expected = []
    for width in (4, 4, 32, 64, 128):
        h, w = (h + 1) // 2, (w + 1) // 2
        expected.append((2, width, h, w))
    assert [tuple(x.shape) for x in encoder(torch.randn(2, 3, *size))] == expected


def test_any_number_of_bands():
    assert len(RMNetEncoder(5, **TINY)(torch.randn(2, 5, 32, 32))) == 5


def test_an_image_of_other_bands_is_an_error_of_one_line():
    with pytest.raises(ConfigError, match="an image has 4 bands, but in_channels is 3"):
        RMNetEncoder(**TINY)(torch.randn(1, 4, 32, 32))


def test_a_block_whose_last_norm_is_zero_is_a_relu_with_its_shortcut_and_nothing_without():
    for residual in (True, False):
        block = RMNetEncoder(**TINY, residual=residual).layer1[1]
        torch.nn.init.zeros_(block.bn2.weight)
        x = torch.randn(1, 4, 6, 6)
        expected = x.relu() if residual else torch.zeros_like(x)
        assert torch.equal(block(x), expected)


def test_shortcuts_are_the_only_difference_of_the_plain_encoder():
    torch.manual_seed(0)
    with_, without = RMNetEncoder(**TINY), RMNetEncoder(**TINY, residual=False)
    state = {k: v for k, v in with_.state_dict().items() if "downsample" not in k}
    without.load_state_dict(state)
    x = torch.randn(2, 3, 32, 32)
    maps = [m(x) for m in (with_.eval(), without.eval())]
    same = [torch.equal(a, b) for a, b in zip(*maps, strict=True)]
    assert same == [True, False, False, False, False]


def test_recomputing_gives_the_same_result_and_gradients():
    torch.manual_seed(0)
    plain = RMNetEncoder(**TINY)
    recomputing = RMNetEncoder(**TINY, with_cp=True)
    recomputing.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 32, 32)
    for encoder in (plain, recomputing):
        encoder(x)[-1].sum().backward()
    for a, b in zip(plain.parameters(), recomputing.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_another_normalisation():
    encoder = RMNetEncoder(**TINY, norm_cfg={"type": "GN", "num_groups": 2})
    kinds = {type(m).__name__ for m in encoder.modules()}
    assert "GroupNorm" in kinds and "BatchNorm2d" not in kinds
    assert len(encoder(torch.randn(1, 3, 32, 32))) == 5


@pytest.mark.parametrize("nested", ["", "module.", "backbone."])
def test_matching_tensors_are_loaded_and_the_rest_reported(tmp_path, log, nested):
    torch.manual_seed(0)
    donor = RMNetEncoder(**TINY).state_dict()
    content = {nested + k: v + 1 for k, v in donor.items()}
    content[nested + "layer1.0.conv1.weight"] = torch.zeros(4, 4, 1, 1)  # a bottleneck's
    del content[nested + "layer4.0.conv3.weight"]
    content[nested + "fc.weight"] = torch.zeros(10, 128)
    torch.save({"state_dict": content, "meta": {}}, tmp_path / "r50.pth")
    encoder = RMNetEncoder(**TINY, init_cfg=pretrained(tmp_path / "r50.pth"))
    encoder.init_weights()
    random = ["layer1.0.conv1.weight", "layer4.0.conv3.weight"]
    names = [name for name in donor if not is_counter(name)]
    for name in names:
        loaded = torch.equal(encoder.state_dict()[name], donor[name] + 1)
        assert loaded == (name not in random), name
    ((level, line),) = [entry for entry in log if " of " in entry[1]]
    assert level == logging.INFO
    assert f"{len(names) - 2} of {len(names)} tensors" in line and "2 stay random" in line
    assert "1 have another shape there, 1 are not there" in line
    assert "1 of the file are unused" in line
    details = {line.partition(": ")[0]: line for level, line in log if level == logging.DEBUG}
    assert "layer1.0.conv1.weight" in details["RMNetEncoder, random, layer1"]
    assert "layer2.0.conv2.weight" in details["RMNetEncoder, loaded, layer2"]
    assert details["RMNetEncoder, unused, fc"].endswith("fc.weight")


def test_what_the_weights_leave_has_its_random_start(tmp_path, log):
    torch.save({"bn1.weight": torch.full((4,), 7.0)}, tmp_path / "w.pth")
    torch.manual_seed(0)
    encoder = RMNetEncoder(**TINY, init_cfg=pretrained(tmp_path / "w.pth"))
    encoder.init_weights()
    torch.manual_seed(0)
    random = RMNetEncoder(**TINY)
    random.init_weights()
    assert (encoder.bn1.weight == 7).all()
    for (name, a), b in zip(encoder.named_parameters(), random.parameters(), strict=True):
        assert torch.equal(a, b) == (name != "bn1.weight")


def test_a_prefix_picks_a_part_of_the_file(tmp_path, log):
    content = {"student.bn1.weight": torch.full((4,), 7.0), "bn1.weight": torch.zeros(4)}
    torch.save(content, tmp_path / "w.pth")
    encoder = RMNetEncoder(**TINY, init_cfg=pretrained(tmp_path / "w.pth", prefix="student"))
    encoder.init_weights()
    assert (encoder.bn1.weight == 7).all()


def test_other_bands_take_the_first_convolution_inflated(tmp_path, log):
    donor = RMNetEncoder(**TINY)
    torch.save(donor.state_dict(), tmp_path / "w.pth")
    encoder = RMNetEncoder(4, **TINY, init_cfg=[pretrained(tmp_path / "w.pth")])
    encoder.init_weights()
    # three known bands keep their filters, the fourth gets their mean, all times 3 / 4
    learnt = donor.conv1.weight
    expected = torch.cat([learnt, learnt.mean(1, keepdim=True)], dim=1) * 3 / 4
    torch.testing.assert_close(encoder.conv1.weight, expected)
    assert any("0 stay random" in message for _, message in log)


def test_weights_of_which_none_matches_are_an_error_of_one_line(tmp_path):
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7), "x": torch.ones(3)}, tmp_path / "w.pth")
    encoder = RMNetEncoder(**TINY, init_cfg=pretrained(tmp_path / "w.pth"))
    with pytest.raises(CheckpointError, match="none of its 2 tensors has the name and shape"):
        encoder.init_weights()


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ({"epoch": 3}, {}, "it holds no tensors. Fix"),
        ({"bn1.weight": torch.ones(4)}, {"prefix": "teacher"}, "no tensors under 'teacher'"),
        ([1, 2], {}, "it holds no tensors. Fix"),
    ],
)
def test_a_file_without_weights_is_an_error_of_one_line(tmp_path, content, options, message):
    torch.save(content, tmp_path / "w.pth")
    encoder = RMNetEncoder(**TINY, init_cfg=pretrained(tmp_path / "w.pth", **options))
    with pytest.raises(CheckpointError, match=message) as caught:
        encoder.init_weights()
    assert "\n" not in str(caught.value)


class Hostile:
    def __reduce__(self):
        return (print, ("run while loading",))


def test_a_local_file_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"bn1.weight": torch.ones(4), "x": Hostile()}, tmp_path / "w.pth")
    encoder = RMNetEncoder(**TINY, init_cfg=pretrained(tmp_path / "w.pth"))
    with pytest.raises(CheckpointError, match="which could run code while loading"):
        encoder.init_weights()
    assert "run while loading" not in capsys.readouterr().out


def test_weights_that_cannot_be_had_say_where_to_put_them(tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("Temporary failure in name resolution")

    monkeypatch.setattr(matching_weights.CheckpointLoader, "load_checkpoint", offline)
    encoder = RMNetEncoder(**TINY, init_cfg=pretrained("torchvision://resnet50"))
    with pytest.raises(CheckpointError, match=r"name resolution.*put the file into .*/checkpoints"):
        encoder.init_weights()
    encoder = RMNetEncoder(**TINY, init_cfg=pretrained(tmp_path / "nowhere.pth"))
    with pytest.raises(CheckpointError, match="there is no such file"):
        encoder.init_weights()


def test_an_unknown_name_of_weights_is_an_error_of_one_line(monkeypatch):
    def unknown(filename, *args, **kwargs):
        raise KeyError(filename.rpartition("/")[2])

    monkeypatch.setattr(matching_weights.CheckpointLoader, "load_checkpoint", unknown)
    encoder = RMNetEncoder(**TINY, init_cfg=pretrained("torchvision://resnet_50"))
    with pytest.raises(CheckpointError, match="no weights are known by the name 'resnet_50'"):
        encoder.init_weights()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_channels": 0}, "in_channels and base_channels must be >= 1, got 0 and 64"),
        ({"num_blocks": (3, 4, 6)}, r"num_blocks must be 4 numbers >= 1, got \(3, 4, 6\)"),
        ({"init_cfg": [pretrained("a"), pretrained("b")]}, "one Pretrained at most, got 2"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RMNetEncoder(**options)


def test_frozen_stages_neither_learn_nor_count_and_the_others_do():
    model = RMNetEncoder(base_channels=2, num_blocks=(1, 1, 1, 1), frozen_stages=2).train()
    frozen = {name.split(".")[0] for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"conv1", "bn1", "layer1", "layer2"}
    before = {k: v.clone() for k, v in model.state_dict().items() if "running_mean" in k}
    model(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    moved = {
        k.split(".")[0] for k, v in model.state_dict().items() if (v != before.get(k, v)).any()
    }
    assert moved == {"layer3", "layer4"}


def test_norm_eval_keeps_every_statistic():
    model = RMNetEncoder(base_channels=2, num_blocks=(1, 1, 1, 1), norm_eval=True).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.training


def test_pretrained_is_the_old_name_of_an_init_cfg():
    model = RMNetEncoder(base_channels=2, pretrained="weights.pth")
    assert model.pretrained == {"checkpoint": "weights.pth"}
    with pytest.raises(ValueError, match="must not both be set"):
        RMNetEncoder(pretrained="a", init_cfg={"type": "Kaiming", "layer": "Conv2d"})
    with pytest.raises(ValueError, match=r"frozen_stages must be in -1\.\.4, got 5"):
        RMNetEncoder(frozen_stages=5)
