# MMSegmentation's FCN-HRNet-W18 run, the four branches decoded by RMNet's MSFM (concatenating) to
# stride 4 instead of resized and concatenated.
_base_ = "mmseg::hrnet/fcn_hr18_4xb4-80k_loveda-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    neck=dict(
        type="mmrs.MSFM",
        in_channels=(18, 36, 72, 144),
        out_channels=(36, 72, 144),
        fusion="concat",
    ),
    decode_head=dict(in_channels=36, in_index=0, channels=36, input_transform=None),
)
