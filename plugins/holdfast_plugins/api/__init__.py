"""REST API v1, a router per subject. A route parses, calls one function and presents the result."""
