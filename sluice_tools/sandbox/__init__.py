"""AWS on this machine: the embedded emulator, what starts it, and what deploys into it."""
