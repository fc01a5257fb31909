"""Shared by all tests: the folder of test environments on the path, and a cache of its own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
