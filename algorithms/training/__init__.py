"""Training: data sets, batches, augmentation, the training loop and its settings."""
