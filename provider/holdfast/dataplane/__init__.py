"""Data planes: where user code runs. Importing this package stays light, because the agent is a part of it."""
