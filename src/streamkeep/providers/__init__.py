"""One file per upstream dialect; `base` says what a provider does."""
