"""`python -m evo.evaluate EVALJOB.json`, or `--mid FOLDER SHA256` for the mid-evaluations of one run."""

from __future__ import annotations

import sys
from importlib import import_module

sys.exit(import_module(f"evo.evaluate.{'mid' if sys.argv[1:2] == ['--mid'] else 'process'}").main(sys.argv[1:]))
