"""What the commands share: exit codes."""

DONE = 0
"""The answer is complete, or the command did what it was asked."""
ERROR = 1
"""It failed; the text says why."""
USAGE = 2
"""The command line cannot be meant like this."""
INTERRUPTED = 3
"""The answer broke; what there was of it was printed."""
CANCELLED = 4
"""Somebody else stopped the answer."""
STOPPED = 130
"""Ctrl-C."""
