# vaihingen_ifwm.py with the crops of 256 px that IFWM's ablation is trained on.
_base_ = "./vaihingen_ifwm.py"
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomCrop", crop_size=(256, 256)),
    dict(type="mmrs.RandomRotate90"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
