"""`sluice backtest`: what a policy would have cost on past traffic, and how late messages would have been."""
