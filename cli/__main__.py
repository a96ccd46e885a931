"""``python -m dsets.cli``, for launchers that want a module: ``torchrun -m dsets.cli train …``."""

import sys

from .app import main

sys.exit(main())
