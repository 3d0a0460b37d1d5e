"""A picture painted by optimizing its pixels."""
