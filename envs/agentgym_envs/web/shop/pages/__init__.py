"""What the shop shows, one part of it a file."""
