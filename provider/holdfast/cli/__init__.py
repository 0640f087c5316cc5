"""The command line `holdfast`: each command parses its input, calls one function and presents the result."""
