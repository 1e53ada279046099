# MMSegmentation's OCRNet run, a cascade of two heads, with a dense CRF after it, in tiles.
_base_ = "mmseg::ocrnet/ocrnet_hr18s_4xb4-80k_ade20k-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    type="mmrs.CRFCascadeEncoderDecoder",
    # less than the default reach of 80 px, so that a halo of twice that stays small
    crf=dict(bilateral_sigma_px=30.0),
    crf_tile_px=256,
    crf_halo_px=60,
)
