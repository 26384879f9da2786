"""Training of a network beyond skorch: epochs, checkpoints, processes, seeds."""
