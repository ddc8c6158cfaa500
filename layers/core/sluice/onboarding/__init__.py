"""Is what a fleet names there, fit for its work, and nobody else's? Deployments and `sluice doctor` ask the same.

`facts.read_facts` reads the account through a port, each fact by itself; `checks.check` judges what was read, and is
pure.
"""
