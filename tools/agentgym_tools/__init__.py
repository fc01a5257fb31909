"""What the model may touch: tools and sandboxes."""
