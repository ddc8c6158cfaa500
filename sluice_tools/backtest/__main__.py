"""Write the results in docs/comparison.md again: `python -m sluice_tools.backtest`, or `make planner-docs`."""

import sys

from sluice_tools import compiled

if __name__ == "__main__":
    compiled.use()  # before anything of it is imported
    from sluice_tools.backtest.docs import main

    sys.exit(main())
