"""Training: data -> step -> checkpoint. Only training and its commands need this package."""
