"""One file per downstream dialect; `base` says what a wire does."""
