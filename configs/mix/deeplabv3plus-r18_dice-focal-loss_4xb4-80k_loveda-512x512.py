# MMSegmentation's DeepLabV3+-R18 run under RMNet's loss, classes absent from a batch left out of
# its Dice term.
_base_ = "mmseg::deeplabv3plus/deeplabv3plus_r18-d8_4xb4-80k_loveda-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    decode_head=dict(loss_decode=dict(_delete_=True, type="mmrs.DiceFocalLoss", classes="present"))
)
