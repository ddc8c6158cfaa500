"""Documents that are followed on one deployment. A package, so that one process runs them all, and deploys once."""
