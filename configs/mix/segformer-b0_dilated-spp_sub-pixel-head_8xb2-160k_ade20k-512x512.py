# MMSegmentation's SegFormer-B0 run on ADE20K (150 classes) with both parts on its map at stride 32.
_base_ = "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    neck=dict(
        type="mmrs.DilatedSPP",
        in_channels=256,
        channels=128,
        # 512 px are 16 cells here
        dilations=(1, 3, 6, 9),
        in_index=3,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
    ),
    decode_head=dict(
        _delete_=True,
        type="mmrs.SubPixelHead",
        in_channels=128,
        in_index=0,
        upscale_factor=32,
        num_classes=150,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True, loss_weight=1.0),
    ),
)
