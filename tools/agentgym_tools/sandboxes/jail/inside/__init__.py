"""What runs on the far side of the wall, in an interpreter of its own. Standard library only.

Modules that only the slow paths need are imported there: what is loaded at the start makes every
fork, and so every call, slower.
"""
