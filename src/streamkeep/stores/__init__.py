"""One file per backend of the log; `base` says what a store promises."""
