"""What a training shows while it runs: progress, epochs, advice, and TensorBoard's files."""
