"""Run `python -m reproof`: in a fork of the driver's warm process where there is one, else here."""

import sys

from reproof import warm_client

status = warm_client.ask(sys.argv[1:])
if status is None:
    from reproof.cli import main

    status = main()
sys.exit(status)
