# DeepLabV3 on ResNet-101 with the dense CRF after it, on paddy fields: deeplabv3_r101_paddy.py,
# whose checkpoints fit, with another type. No trained weights ship with mmrs.
#
# Train deeplabv3_r101_paddy.py and test with this: trained itself, it would run the CRF in every
# validation, which is slow, and early stopping would judge the CRF's score, not the network's.
#
# The paper names the CRF and gives no parameters: 10 iterations and the sigmas and weights of its
# authors' code stand in for them; model.crf.num_iters=5 and the like change one. The colour sigma
# is one of 8-bit colours; 16-bit imagery: model.crf_color_scale.
_base_ = [
    "../_base_/models/deeplabv3_os16.py",
    "../_base_/datasets/paddy.py",
    "../_base_/schedules/deeplabv3_paddy.py",
    "../_base_/default_runtime.py",
]
model = dict(
    type="mmrs.CRFEncoderDecoder",
    backbone=dict(
        depth=101, init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet101")
    ),
)
