# MMSegmentation's OCRNet-W18, which it has no LoveDA run of, with the label-smoothing loss.
_base_ = [
    "mmseg::_base_/models/ocrnet_hr18.py",
    "mmseg::_base_/datasets/loveda.py",
    "mmseg::_base_/default_runtime.py",
    "mmseg::_base_/schedules/schedule_80k.py",
]
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    # a list replaces the base's list, so both heads stand here in full
    decode_head=[
        dict(
            type="FCNHead",
            in_channels=[18, 36, 72, 144],
            channels=270,
            in_index=(0, 1, 2, 3),
            input_transform="resize_concat",
            kernel_size=1,
            num_convs=1,
            concat_input=False,
            dropout_ratio=-1,
            num_classes=7,
            norm_cfg=norm_cfg,
            align_corners=False,
            loss_decode=dict(type="mmrs.LabelSmoothingCrossEntropyLoss", loss_weight=0.4),
        ),
        dict(
            type="OCRHead",
            in_channels=[18, 36, 72, 144],
            in_index=(0, 1, 2, 3),
            input_transform="resize_concat",
            channels=512,
            ocr_channels=256,
            dropout_ratio=-1,
            num_classes=7,
            norm_cfg=norm_cfg,
            align_corners=False,
            loss_decode=dict(type="mmrs.LabelSmoothingCrossEntropyLoss", loss_weight=1.0),
        ),
    ],
)
