"""The small models: like size, and ours with every kind of module of the paper."""

import pytest

from benchmarks.real.models import (
    LOSS_ROWS,
    MODULE_ROWS,
    PEERS,
    ablation,
    build,
    config_of,
    num_parameters,
)
from mmrs.models.heads import CoarseHead, RefinementHead
from mmrs.models.layers.asp_ocr import AtrousObjectContext
from mmrs.models.layers.information_aggregation import InformationAggregation
from mmrs.models.layers.inverted_bottleneck import InvertedBottleneck
from mmrs.models.layers.multi_resolution import Fusion
from mmrs.models.losses import ClassAgnosticEdgeAwareLoss, GeneralizedDiceLoss

# MMSeg's stock cross-entropy advises an option that changes nothing where no pixel is ignored
pytestmark = pytest.mark.filterwarnings("ignore:Default ``avg_non_ignore``")


def kinds(config: dict) -> set[type]:
    return {type(module) for module in build(config).modules()}


@pytest.mark.parametrize("num_classes", [3, 5])
def test_the_peers_have_our_size_within_a_fifth(num_classes):
    ours, *others = (num_parameters(build(config_of(m, num_classes))) for m in PEERS)
    assert all(0.8 * ours <= other <= 1.2 * ours for other in others)


def test_the_small_hiresnet_keeps_every_kind_of_module():
    model = build(config_of("hiresnet", 3))
    found = {type(module) for module in model.modules()}
    assert found >= {
        InvertedBottleneck,
        InformationAggregation,
        Fusion,
        RefinementHead,
        AtrousObjectContext,
        GeneralizedDiceLoss,
        ClassAgnosticEdgeAwareLoss,
    }
    branches = [
        len(m.branches)
        for layer in ("layer1", "layer2")
        for m in model.backbone.get_submodule(layer)
    ]
    assert set(branches) == {2, 3}


def test_each_row_of_the_ablation_adds_one_part():
    parts = [InvertedBottleneck, InformationAggregation, RefinementHead, ClassAgnosticEdgeAwareLoss]
    for i, row in enumerate(MODULE_ROWS):
        found = kinds(ablation(3, row))
        assert [part in found for part in parts] == [j < i for j in range(len(parts))]
        assert (CoarseHead in found) == (i < 3)


def test_the_last_row_of_the_ablation_is_the_model_compared():
    assert ablation(3, "cea") == config_of("hiresnet", 3)


def test_every_row_of_the_loss_ablation_differs():
    configs = [repr(config_of(f"losses/{row}", 3)) for row in LOSS_ROWS]
    assert len(set(configs)) == len(configs) == 6


def test_the_controls_exchange_the_losses_and_nothing_else():
    ours, ours_ce, peer, peer_joint = (
        config_of(m, 3)
        for m in ("hiresnet", "controls/hiresnet_ce", "fcn_hrnet", "controls/fcn_hrnet_joint")
    )
    losses = [
        c["decode_head"].pop("loss_decode")["type"] for c in (ours, ours_ce, peer, peer_joint)
    ]
    assert losses == ["mmrs.JointLoss", "CrossEntropyLoss", "CrossEntropyLoss", "mmrs.JointLoss"]
    assert ours == ours_ce and peer == peer_joint


def test_an_unknown_model_is_refused():
    with pytest.raises(ValueError, match="model must be one of"):
        config_of("resnet", 3)
