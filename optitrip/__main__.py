"""`python -m optitrip` is the command `optitrip`."""

from optitrip.cli.main import main

main()
