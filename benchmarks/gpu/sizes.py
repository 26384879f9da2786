"""Sizes of the measurements, and their device."""

from dataclasses import dataclass

import torch

from sk_center._utils.devices import module_of


@dataclass
class Size:
    """Sizes of the measurements."""

    device: torch.device
    n_samples: int = 131_072
    n_images: int = 65_536
    batches: tuple = (128, 1024, 8192, 65_536)
    # Steps of a fit, at least one epoch and at most so many.
    steps: int = 256
    most_epochs: int = 32
    most_image_epochs: int = 4
    classes: tuple = (1_000, 100_000, 1_000_000, 10_000_000)
    feature_dim: int = 512
    step_batch: int = 8192
    copy_bytes: int = 2**30
    repeats: int = 5
    backend: str = "inductor"

    def epochs(self, X, batch):
        """Return how many epochs make enough steps."""
        most = self.most_epochs if X.ndim == 2 else self.most_image_epochs
        return min(max(self.steps * batch // len(X), 1), most)

    def waited(self, function):
        """Return a function that returns when the device has done the work of another."""

        def run():
            function()
            if self.device.type != "cpu":
                torch.accelerator.synchronize()

        return run

    @property
    def counts_memory(self):
        """Whether torch tells how much memory of the device was taken."""
        return hasattr(module_of(self.device), "max_memory_allocated")

    def peak_memory(self, function):
        """Return the most bytes that a call takes on the device."""
        module = module_of(self.device)
        module.reset_peak_memory_stats()
        before = module.memory_allocated()
        function()
        return module.max_memory_allocated() - before


QUICK = {
    "n_samples": 512,
    "n_images": 64,
    "batches": (32, 128),
    "steps": 8,
    "most_epochs": 2,
    "classes": (100, 1_000),
    "feature_dim": 16,
    "step_batch": 64,
    "copy_bytes": 2**20,
    "repeats": 1,
    "backend": "eager",
}
