# Made from queue.yaml by `make terraform`: change the template and not this file.

output "stack_name" {
  value       = aws_cloudformation_stack.this.name
  description = "Name of the CloudFormation stack."
}

output "version" {
  value       = lookup(aws_cloudformation_stack.this.outputs, "Version", null)
  description = "The version of Sluice that this stack was deployed from"
}

output "queue_document" {
  value       = lookup(aws_cloudformation_stack.this.outputs, "QueueDocument", null)
  description = "The Parameter Store document of the queue"
}
