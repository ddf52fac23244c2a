"""Can the model recover? Fine-tuning with Accelerate, the same data order and dropout in every arm."""
