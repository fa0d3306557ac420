"""`python -m streamkeep` is the command `streamkeep`."""

from streamkeep.cli import main

if __name__ == "__main__":
    main()
