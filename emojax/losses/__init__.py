"""What a picture is compared by: terms, and the objective that they make up."""
