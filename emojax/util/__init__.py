"""What is needed everywhere: files written whole, Ctrl-C, compiling."""
