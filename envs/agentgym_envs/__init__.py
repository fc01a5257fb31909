"""What the task is: one self-contained folder per environment."""
