"""Contracts of ports whose calls leave nothing behind that goes on. A package, so that its files share an emulator."""
