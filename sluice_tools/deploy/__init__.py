"""`sluice deploy`: builds and uploads what a deployment needs, and shows a change set before it changes a stack."""
