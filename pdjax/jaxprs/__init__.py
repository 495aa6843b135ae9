"""Programs that JAX has traced: walked in one place, cut at a value, put in their fastest form."""
