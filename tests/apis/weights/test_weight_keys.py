"""What a checkpoint is, told by its names; a backbone's tensors and nothing else."""

from __future__ import annotations

import pytest
import torch

from mmrs.apis.weights.weight_keys import KINDS, hrnet_to_hiresnet, state_of, take_backbone
from mmrs.errors import CheckpointError, ConfigError

ONE = torch.ones(1)
RESNET = ["conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer2.0.conv1.weight"]
DEEP = ["conv1.0.weight", "conv1.6.weight", *RESNET[1:]]
HRNET = ["conv1.weight", "transition1.0.0.weight", "layer1.0.conv1.weight", "stage2.0.x.weight"]


def of(names: list[str], prefix: str = "") -> dict[str, torch.Tensor]:
    return {prefix + name: ONE * i for i, name in enumerate(names)}


MOCO = {
    **of(RESNET, "backbone."), **of(RESNET, "encoder_k.backbone."), **of(["x.0"], "projector."),
    "queue": ONE, "queue_ids": ONE,
}  # fmt: skip
FACEBOOK = {**of(RESNET, "encoder_q."), **of(RESNET, "encoder_k."), "encoder_q.fc.0.bias": ONE}


@pytest.mark.parametrize(
    ("tensors", "kind", "names", "passed_over"),
    [
        (MOCO, "mocov2", RESNET, len(RESNET) + 3),
        (FACEBOOK, "mocov2", RESNET, len(RESNET) + 1),
        ({**of(RESNET, "backbone."), "decode_head.conv_seg.bias": ONE}, "segmentor", RESNET, 1),
        ({**of(RESNET), "fc.weight": ONE, "fc.bias": ONE}, "torchvision", RESNET, 2),
        (of(DEEP), "timm", ["stem.0.weight", "stem.6.weight", "stem.7.weight", *RESNET[2:]], 0),
        ({**of(HRNET), "incre_modules.0.x": ONE, "classifier.bias": ONE}, "mmseg-hrnet", HRNET, 2),
    ],
)
def test_the_names_tell_the_kind(tensors, kind, names, passed_over) -> None:
    for asked in ("auto", kind):
        found = take_backbone(tensors, kind=asked, where="w.pth")
        assert found.kind == kind
        assert [*found.tensors] == names
        assert found.passed_over == passed_over
    # each is the one at its own place, never the key encoder's
    assert [int(v) for v in found.tensors.values()] == [*range(len(names))]


def test_asking_for_another_kind_is_refused_with_what_it_is() -> None:
    samples = {"mocov2": MOCO, "segmentor": of(RESNET, "backbone."), "torchvision": of(RESNET),
               "timm": of(DEEP), "mmseg-hrnet": of(HRNET)}  # fmt: skip
    alike = {("torchvision", "timm")} | {(k, "backbone") for k in ("torchvision", "timm")}
    alike |= {("mmseg-hrnet", "backbone")}
    for found, tensors in samples.items():
        for asked in set(KINDS) - {found}:
            if (found, asked) in alike:
                assert take_backbone(tensors, kind=asked, where="w").kind == asked
                continue
            with pytest.raises(
                CheckpointError, match=f"it is no {asked} .* those of {found}.*--from {found}"
            ):
                take_backbone(tensors, kind=asked, where="w.pth")


def test_a_bare_backbone_is_known_by_the_names_of_the_one_that_it_is_for() -> None:
    tensors = of(["funnel.0.weight", "head.0.weight"])
    found = take_backbone(tensors, known=["funnel.0.weight", "head.0.weight"], where="w.pth")
    # `head` is a classifier's only where the backbone has none
    assert (found.kind, [*found.tensors]) == ("backbone", [*tensors])
    with pytest.raises(CheckpointError, match=r"no backbone: its 2 .* funnel.*--backbone-config"):
        take_backbone(tensors, where="w.pth")
    # one may say what it is, or where
    found = take_backbone(tensors, kind="backbone", where="w")
    assert "funnel.0.weight" in found.tensors
    inner = {f"net.{name}": value for name, value in tensors.items()}
    found = take_backbone(inner, prefix="net", known=[*tensors], where="w")
    assert (found.kind, [*found.tensors]) == ("backbone", [*tensors])
    assert take_backbone(inner, prefix="net", where="w").kind == "backbone"


def test_a_prefix_names_the_place() -> None:
    tensors = {**of(RESNET, "student.net."), **of(RESNET[:1], "teacher.net.")}
    for prefix in ("student.net", "student.net."):
        found = take_backbone(tensors, prefix=prefix, where="w.pth")
        assert (found.kind, [*found.tensors]) == ("torchvision", RESNET)
    assert [*take_backbone(MOCO, prefix="backbone", kind="mocov2", where="w").tensors] == RESNET
    with pytest.raises(CheckpointError, match=r"none of its 5 tensors is under 'pupil\.'"):
        take_backbone(tensors, prefix="pupil", where="w.pth")
    with pytest.raises(ConfigError, match="encoder_k is the momentum encoder"):
        take_backbone(MOCO, prefix="encoder_k.backbone", where="w.pth")


def test_containers_are_opened_and_module_is_taken_off() -> None:
    own = of(RESNET)
    for content in (
        own, {"state_dict": own, "meta": {}}, {"model": own}, {"model_state": own, "epoch": 3},
        {"model_state_dict": own}, {"state_dict": {f"module.{k}": v for k, v in own.items()}},
    ):  # fmt: skip
        assert [*state_of(content, "w.pth")] == RESNET


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"meta": {}, "epoch": 3}, "found a dict of meta, epoch"),
        ({}, "found a dict of nothing"),
        ([1, 2], "found a list"),
        ({"state_dict": {"a": 3}}, "found a dict of state_dict"),
    ],
)
def test_what_holds_no_tensors_is_told_with_what_was_expected(content, found) -> None:
    with pytest.raises(CheckpointError, match=rf"w\.pth: it holds no weights \({found}\); expec"):
        state_of(content, "w.pth")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("conv1.weight", "stem.0.0.weight"),
        ("bn2.running_var", "stem.1.1.running_var"),
        ("layer1.2.bn3.bias", "funnel.2.bn3.bias"),
        ("transition1.0.1.bias", "transition1.0.1.bias"),
        ("transition1.1.0.1.bias", "transition1.1.1.bias"),
        ("transition2.2.0.0.weight", "transition2.0.weight"),
        ("stage2.0.branches.1.3.conv2.weight", "layer1.0.branches.1.3.conv2.weight"),
        ("stage3.3.fuse_layers.2.0.1.0.weight", "layer2.3.fusion.paths.0_to_2.1.0.weight"),
        ("stage3.0.fuse_layers.0.2.1.bias", "layer2.0.fusion.paths.2_to_0.1.bias"),
        ("stage4.0.fuse_layers.3.0.0.0.weight", "stage4.0.fuse_layers.3.0.0.0.weight"),
        ("transition3.3.0.0.weight", "transition3.3.0.0.weight"),
    ],
)
def test_names_of_hrnet_in_hiresnet(ours, theirs) -> None:
    assert hrnet_to_hiresnet(ours) == theirs
