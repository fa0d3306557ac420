"""What the commands do at a terminal: find the streams, and show them."""
