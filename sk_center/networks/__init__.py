"""Default feature extractors, and the module that adds a head and centers to one."""

from sk_center.networks.augmentation import RandomAffine
from sk_center.networks.center_module import CenterModule
from sk_center.networks.extractors import MLP, ConvNet

__all__ = ["MLP", "CenterModule", "ConvNet", "RandomAffine"]
