"""What knows the decoder: containers, indices, shots, orientation."""
