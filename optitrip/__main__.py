"""`python -m optitrip` is the command `optitrip`."""

from optitrip.cli.main import main

if __name__ == "__main__":
    main()
