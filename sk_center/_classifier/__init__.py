"""What CenterLossClassifier does before its net trains and when it predicts."""
