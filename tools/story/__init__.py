"""What the demo and the AWS smoke test share: orders that are sent, by any way in, and how SAM CLI is run."""
