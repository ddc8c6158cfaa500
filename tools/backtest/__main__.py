"""Write the results in docs/comparison.md again: `python -m tools.backtest`, or `make planner-docs`."""

import sys

from tools import compiled

if __name__ == "__main__":
    compiled.use()  # before anything of it is imported
    from tools.backtest.docs import main

    sys.exit(main())
