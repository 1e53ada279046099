# MMSegmentation's HRNet-W18 run with flow warps in its exchange units; stock weights still load.
_base_ = "mmseg::hrnet/fcn_hr18_4xb4-80k_loveda-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(backbone=dict(type="mmrs.IFWHRNet"))
