# The same, and to the training tiles as many crop-and-stitch ones are added.
_base_ = "./potsdam_dilated_spp.py"
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mmrs.CropAndStitchDataset",
        dataset={{_base_.train_dataloader.dataset}},
        beta=(0.3, 0.3),
        # one stitched set for the whole training; the paper does not say; None draws it anew
        seed=0,
    )
)
