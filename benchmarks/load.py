"""What is asked of a server: streams, their pace and their readers."""

from dataclasses import dataclass, replace
from typing import Literal

Join = Literal["own", "before", "ended", "live"]
"""
Whose streams are read: each reader its `own`; or all the same one, joined `before` its first delta, after it has
`ended`, or when all its deltas are there but it is still `live`.
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """Streams and their readers."""

    deltas: int
    per_s: float
    """Deltas per second and stream; 0 for as fast as possible."""
    readers: int = 1
    """Requests at the same time."""
    repeat: int = 1
    """Requests one after another in each place."""
    ramp_s: float = 0
    """Seconds over which they start."""
    skip_s: float = 0
    """Seconds at the start whose CPU and deltas do not count: set-up."""
    until_s: float = 0
    """From here on they do not count either: endings; 0 counts all to the end."""
    ttft_s: float = 0
    """Seconds until the first delta."""
    timeout_s: float = 40
    join: Join = "own"
    query: str = ""
    """Of the reading request."""

    @property
    def nominal_s(self) -> float:
        """How long it takes with a server that adds nothing."""
        paced = (self.deltas - 1) / self.per_s if self.per_s else 0.0
        return self.ramp_s + self.ttft_s + self.repeat * paced

    def quick(self) -> "Load":
        """Shrink it to what shows that everything runs."""
        return replace(
            self,
            deltas=max(2, self.deltas // 10),
            readers=max(1, self.readers // 10),
            repeat=min(3, self.repeat),
            ramp_s=self.ramp_s / 10,
            skip_s=0,
            until_s=0,
            ttft_s=self.ttft_s / 2,
        )
