"""Keeps the environment variables that Ray reads, again and again, in a process whose loss may remove them."""

import os


class RayVariables:
    """The variables of Ray when an object of this class is made, e.g. the token without which no connection is made."""

    def __init__(self) -> None:
        self._values = {name: value for name, value in os.environ.items() if name.startswith("RAY_")}

    def put_back(self) -> None:
        """Set those again that were removed or changed."""
        for name, value in self._values.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
