"""What an operator asks for beside the redriver's own requests: the release of an instance."""
