"""How the agent says what went wrong: whose failure it is, what happened to which object, and what to do."""


class AgentFailure(Exception):
    """A failure with its class (user, data, environment or platform).

    Attributes:
        error_class: whose failure it is.
        message: what happened to which object; never holds a grant's URL.
        remedy: what the reader can do.
    """

    def __init__(self, error_class: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.error_class, self.message, self.remedy = error_class, message, remedy

    def report(self) -> dict[str, str]:
        """Return the failure as a part of a report."""
        return {"error_class": self.error_class, "message": self.message, "remedy": self.remedy}
