# MMSegmentation's PSPNet run with a dense CRF after it: one line; its checkpoints fit.
_base_ = "mmseg::pspnet/pspnet_r18-d8_4xb4-80k_loveda-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(type="mmrs.CRFEncoderDecoder")
