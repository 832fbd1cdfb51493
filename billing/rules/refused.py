"""What the domain refuses: a code and its parameters. The doors make the sentence (`billing.api.sentences`)."""

from __future__ import annotations


class Refused(Exception):
    """Something is not done because of what the rows say, not because of a defect.

    `code` is stable: it is what the HTTP contract calls the refusal, where that has a name for it. `parameters` are
    the values that a sentence needs. One code may have several sentences: then a parameter `reason` tells them apart.
    """

    code: str = ""

    def __init__(self, code: str = "", **parameters: object) -> None:
        if code:
            self.code = code
        self.parameters = parameters
        super().__init__(self.code, parameters)

    def __str__(self) -> str:
        """For logs, not for people."""
        given = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.code} ({given})" if given else self.code
