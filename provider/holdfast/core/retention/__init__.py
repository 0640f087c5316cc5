"""How long something is kept and why: policies, legal holds, what refers to what, and the decision over them; pure."""
