"""What trains a network beside skorch: epochs, checkpoints, processes, seeds."""
