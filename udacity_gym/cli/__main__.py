"""``python -m udacity_gym.cli``."""

import sys

from udacity_gym.cli import main

sys.exit(main())
