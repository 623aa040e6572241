"""What can be changed: the vocabulary of causal variables and the catalog of interventions."""
