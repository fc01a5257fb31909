"""Templates of tasks, by how many things they ask for."""
