"""Dead letters: retried, quarantined by cause, and sent back when an operator asks for it."""
