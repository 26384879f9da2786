"""Labels, distances and probabilities of a batch, from its logits and features."""

from functools import cached_property

import numpy as np
import torch

from sk_center._training.after_training import without_background
from sk_center.centers.distances import distances, nearest

OUTPUTS = ("labels", "features", "logits", "probabilities", "distances")
# Given by some networks only.
LAYERS = "layers"


class BatchOutputs:
    """Compute the requested outputs of a batch from its logits and features."""

    def __init__(self, given, centers, tau, by_center):
        logits, features, *layers = given
        self.features, self.layers = features.float(), layers[0] if layers else None
        # Minus the logit of the background, where there is one.
        self.logits = (
            None if logits is None else without_background(logits.float(), len(centers))
        )
        self.centers, self.tau, self.by_center = centers, tau, by_center

    @cached_property
    def distances(self):
        """Distances to the centers; features that are not finite lie infinitely far."""
        return distances(self.features, self.centers).nan_to_num(torch.inf, torch.inf)

    @cached_property
    def scores(self):
        """Scores of which the largest decides: minus the distances, or the logits."""
        if self.by_center:
            return -self.distances
        # A sample whose logits are not all finite has no meaningful logits.
        usable = torch.isfinite(self.logits).all(dim=1, keepdim=True)
        return torch.where(usable, self.logits, 0.0)

    @property
    def probabilities(self):
        """Softmax of the scores, of distances at their temperature."""
        if not self.by_center:
            return self.scores.softmax(dim=1)
        scaled = self.distances / -self.tau
        # Infinitely far from all centers is still equally far.
        return scaled.clamp_(min=torch.finfo(scaled.dtype).min).softmax(dim=1)

    @property
    def labels(self):
        """Index of the class that is predicted."""
        if not self.by_center:
            return self.scores.argmax(dim=1)
        if "distances" in vars(self):
            return self.distances.argmin(dim=1)
        return nearest(self.features, self.centers)


def needs_logits(names, by_center):
    """Return whether some of the requested outputs need the head of the network."""
    return "logits" in names or not (
        by_center or {"labels", "probabilities", "scores"}.isdisjoint(names)
    )


def collect(batches, names, n_samples):
    """Return the named outputs of all batches, as one array for each name."""
    # Labels last: they are cheap once distances are computed.
    names = sorted(names, key="labels".__eq__)
    found, start = {}, 0
    for batch in batches:
        stop = start + len(batch.features)
        with torch.inference_mode():
            for name in names:
                part = getattr(batch, name).cpu().numpy()
                if len(part) == n_samples:
                    found[name] = part
                    continue
                if start == 0:  # allocated once, instead of joining the parts at the end
                    found[name] = np.empty((n_samples, *part.shape[1:]), part.dtype)
                found[name][start:stop] = part
        start = stop
    return found
