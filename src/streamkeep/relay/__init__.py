"""Turn the crank: from the upstream's bytes to the log, from the log to its readers."""

from streamkeep.relay.relay import Relay
from streamkeep.relay.stream import Stream

__all__ = ["Relay", "Stream"]
