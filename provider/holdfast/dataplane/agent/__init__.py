"""The agent: puts inputs in place and takes outputs away, on the data plane's side. Standard library only."""
