"""Contracts of the ledger, which leave records behind. A package, so that its files share an emulator."""
