"""Search: draw candidates, compute the loss of each, keep the best."""
