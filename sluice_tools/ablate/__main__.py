"""Print what each rule of the planner gains: `python -m sluice_tools.ablate`, or `make ablate`."""

import sys

from sluice_tools import compiled

if __name__ == "__main__":
    compiled.use()  # before anything of it is imported
    from sluice_tools.ablate.command import main

    sys.exit(main())
