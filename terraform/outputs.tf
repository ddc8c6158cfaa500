# Made from template.yaml by `make terraform`: change the template and not this file.

output "stack_name" {
  value       = aws_cloudformation_stack.this.name
  description = "Name of the CloudFormation stack."
}

output "version" {
  value       = lookup(aws_cloudformation_stack.this.outputs, "Version", null)
  description = "The version of Sluice that this stack was deployed from"
}

output "dashboard_url" {
  value       = lookup(aws_cloudformation_stack.this.outputs, "DashboardUrl", null)
  description = "URL of the dashboard with the widget"
}

output "planner_function" {
  value       = lookup(aws_cloudformation_stack.this.outputs, "PlannerFunction", null)
  description = "The planner function. The payload {\"fleet\":\"<name>\",\"dry_run\":true} asks for a decision that changes nothing."
}

output "drainer_function" {
  value       = lookup(aws_cloudformation_stack.this.outputs, "DrainerFunction", null)
  description = "The drainer function, which only AWS may invoke"
}

output "redriver_function" {
  value       = lookup(aws_cloudformation_stack.this.outputs, "RedriverFunction", null)
  description = "The redriver function, which only AWS may invoke"
}

output "operator_function" {
  value       = lookup(aws_cloudformation_stack.this.outputs, "OperatorFunction", null)
  description = "The operator function. The payload {\"redrive\":{\"fleet\":\"<name>\",\"all\":true,\"dry_run\":true}} shows what a redrive would send. Grant lambda:InvokeFunction on this function to people who may act, and on no other."
}

output "console_function" {
  value       = lookup(aws_cloudformation_stack.this.outputs, "ConsoleFunction", null)
  description = "The console function, which renders the widget. Grant lambda:InvokeFunction on it to people who may read the widget."
}

output "ledger_table" {
  value       = lookup(aws_cloudformation_stack.this.outputs, "LedgerTable", null)
  description = "The table with fleet state, decisions, drains, failure groups and jobs. It stays when the stack is deleted."
}

output "archive_bucket" {
  value       = lookup(aws_cloudformation_stack.this.outputs, "ArchiveBucket", null)
  description = "The bucket with the bodies of quarantined messages. It stays when the stack is deleted."
}

output "failures_queue" {
  value       = lookup(aws_cloudformation_stack.this.outputs, "FailuresQueue", null)
  description = "The queue of events that could not be processed or delivered"
}

output "fleet_document" {
  value       = lookup(aws_cloudformation_stack.this.outputs, "FleetDocument", null)
  description = "The Parameter Store document of the first fleet"
}

output "lifecycle_hook" {
  value       = lookup(aws_cloudformation_stack.this.outputs, "LifecycleHook", null)
  description = "The lifecycle hook with which Auto Scaling waits for the drain of an instance"
}

output "data_key_note" {
  value       = lookup(aws_cloudformation_stack.this.outputs, "DataKeyNote", null)
  description = "Which key encrypts quarantined messages"
}
