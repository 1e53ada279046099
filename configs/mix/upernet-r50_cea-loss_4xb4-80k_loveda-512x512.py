# MMSegmentation's UPerNet-R50, which it has no LoveDA run of, with the edge loss beside its own.
_base_ = [
    "mmseg::_base_/models/upernet_r50.py",
    "mmseg::_base_/datasets/loveda.py",
    "mmseg::_base_/default_runtime.py",
    "mmseg::_base_/schedules/schedule_80k.py",
]
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(
        num_classes=7,
        loss_decode=[
            dict(type="CrossEntropyLoss", avg_non_ignore=True, loss_weight=1.0),
            dict(type="mmrs.ClassAgnosticEdgeAwareLoss", loss_weight=0.5),
        ],
    ),
    auxiliary_head=dict(num_classes=7),
)
