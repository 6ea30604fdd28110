"""The accelerator against its reference, which is the Python code."""
