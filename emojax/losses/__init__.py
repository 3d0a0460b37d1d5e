"""The losses: their terms, and the objective as a weighted sum."""
