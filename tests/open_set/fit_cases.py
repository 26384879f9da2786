"""What tests of fit share."""

import pytest
from open_set_problems import (
    MEANS,
)

from sk_center.scores import CenterDistance

quiet = pytest.mark.filterwarnings("ignore::UserWarning")
CENTERED = CenterDistance(centers=MEANS)  # learns nothing: all samples calibrate
