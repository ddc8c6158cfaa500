"""Print what each rule of the planner gains: `python -m tools.ablate`, or `make ablate`."""

import sys

from tools import compiled

if __name__ == "__main__":
    compiled.use()  # before anything of it is imported
    from tools.ablate.command import main

    sys.exit(main())
