"""How many fleets one stack holds: simulated in virtual time, and tried on the sandbox."""
