# MMSegmentation's DeepLabV3+ run with Hi-ResNet's complete loss; the auxiliary head keeps its own.
_base_ = "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-80k_loveda-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, type="mmrs.JointLoss")))
