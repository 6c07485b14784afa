"""`python -m evo.evaluate EVALJOB.json`."""

from __future__ import annotations

import sys

from evo.evaluate.process import main

sys.exit(main(sys.argv[1:]))
