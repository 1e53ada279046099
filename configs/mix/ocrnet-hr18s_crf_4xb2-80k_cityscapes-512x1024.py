# MMSegmentation's OCRNet run, a cascade of two heads, with a dense CRF after it, in tiles.
_base_ = "mmseg::ocrnet/ocrnet_hr18s_4xb2-80k_cityscapes-512x1024.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    type="mmrs.CRFCascadeEncoderDecoder",
    # less than the default reach of 80 px, so that a halo of twice that stays small; and the
    # published lattice, which is faster
    crf=dict(bilateral_sigma_px=30.0, num_rings=0),
    crf_tile_px=256,
    crf_halo_px=60,
)
