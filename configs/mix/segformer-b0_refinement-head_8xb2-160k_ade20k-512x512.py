# MMSegmentation's SegFormer-B0 run on ADE20K (150 classes) with Hi-ResNet's refinement head.
_base_ = "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    decode_head=dict(
        _delete_=True,
        type="mmrs.RefinementHead",
        in_channels=(32, 64, 160, 256),
        in_index=(0, 1, 2, 3),
        num_classes=150,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True, loss_weight=1.0),
    )
)
