"""``python -m udacity_gym``: the command, where ``udacity-gym`` is not on the path."""

import sys

from udacity_gym.cli import main

sys.exit(main())
