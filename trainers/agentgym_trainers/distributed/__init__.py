"""More than one process: a learner over several devices, rollouts and environments elsewhere.

The only place that imports ray.
"""
