"""What runs on the far side of the wall, in an interpreter of its own. Standard library only."""
