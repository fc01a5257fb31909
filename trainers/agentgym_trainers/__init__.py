"""How an agent learns: engines, rollouts, losses and the training loop."""
