"""One moving-average center per class, and anchors that do not move."""

from sk_center.centers.center import Center
from sk_center.centers.first_centers import simplex_etf

__all__ = ["Center", "simplex_etf"]
