"""Run `python -m reproof`."""

import sys

from reproof.cli import main

sys.exit(main())
