"""Checks, construction, training and prediction of CenterLossClassifier."""
