"""How a configuration becomes a number. Knows no causal graph, no p-value and no README."""
