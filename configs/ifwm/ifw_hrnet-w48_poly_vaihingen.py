# ifw_hrnet-w48_vaihingen.py with the poly schedule in place of the exponential one.
# No trained weights ship with mmrs.
_base_ = [
    "../_base_/models/ifw_hrnet.py",
    "../_base_/datasets/vaihingen_ifwm.py",
    "../_base_/schedules/ifwm_100e_poly.py",
    "../_base_/default_runtime.py",
]
