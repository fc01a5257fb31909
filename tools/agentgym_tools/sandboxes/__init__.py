"""Where the model's code runs: one module or package per backend."""
