"""Checks that a fleet's queues and group exist, fit the fleet, and are scaled by nothing else.

Deployments and `sluice doctor` make the same checks. `facts.read_facts` reads the account through a port, each fact by
itself. `checks.check` turns the facts into findings, and is pure.
"""
