"""``python -m precipice``: the command line."""

from precipice.cli import main

if __name__ == "__main__":
    main()
