# One queue with its dead-letter queue, a group of consumers, and Sluice beside them; then a further fleet and a further queue.
# The launch template is your own: its instances need the SSM agent, the policy AmazonSSMManagedInstanceCore, and a
# systemd unit named like `drain_unit`.

terraform {
  required_version = ">= 0.15"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 3.39"
    }
  }
}

variable "release" {
  type        = string
  description = "URL in S3 of the folder that has the templates of one release, without a slash at its end."
}

variable "stack" {
  type        = string
  default     = "sluice"
  description = "Name of the Sluice stack."
}

variable "launch_template_id" {
  type        = string
  description = "The launch template of your consumers."
}

variable "subnets" {
  type        = list(string)
  description = "The subnets of your consumers."
}

locals {
  # The deployment of Sluice sets this tag, by which alone the stack may use a group and its queues. Terraform would take it
  # away again with its next apply, so it is written here as well.
  enrolled = { "sluice:stack" = var.stack }
}

resource "aws_sqs_queue" "dead_letters" {
  name                      = "orders-dead-letters"
  message_retention_seconds = 1209600
  tags                      = local.enrolled
}

resource "aws_sqs_queue" "orders" {
  name                       = "orders"
  visibility_timeout_seconds = 120
  redrive_policy             = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead_letters.arn, maxReceiveCount = 3 })
  tags                       = local.enrolled
}

resource "aws_autoscaling_group" "workers" {
  name                = "orders-workers"
  min_size            = 0
  max_size            = 20
  vpc_zone_identifier = var.subnets

  # Terraform need not wait for instances: Sluice launches them when messages wait.
  wait_for_capacity_timeout = "0"

  launch_template {
    id      = var.launch_template_id
    version = "$Latest"
  }

  tag {
    key                 = "sluice:stack"
    value               = var.stack
    propagate_at_launch = true
  }

  lifecycle {
    # Sluice sets the desired capacity every few seconds. Without this line each `terraform apply` would set it back to what
    # Terraform saw last: it would launch instances that are not needed, or end some that are.
    ignore_changes = [desired_capacity]
  }
}

module "sluice" {
  source = "../.."

  stack_name            = var.stack
  template_url          = "${var.release}/template.yaml"
  queue_url             = aws_sqs_queue.orders.id # the id of a queue is its URL
  dead_letter_queue_url = aws_sqs_queue.dead_letters.id
  group_name            = aws_autoscaling_group.workers.name
  target_wait_seconds   = 120
  fleet_name            = "orders"
  drain_unit            = "orders-consumer@*.service"
  settings              = { limits = { max_step = 4 } }
}

# --- a further queue of the same fleet ---

resource "aws_sqs_queue" "urgent" {
  name                       = "orders-urgent"
  visibility_timeout_seconds = 120
  tags                       = local.enrolled
}

module "urgent" {
  source = "../../modules/queue"

  stack_name          = "${var.stack}-orders-urgent"
  template_url        = "${var.release}/queue.yaml"
  sluice_stack        = module.sluice.stack_name
  fleet_name          = "orders"
  queue_url           = aws_sqs_queue.urgent.id
  target_wait_seconds = 30
  priority            = 10
}

# --- a further fleet of the same stack ---

resource "aws_sqs_queue" "invoices" {
  name                       = "invoices"
  visibility_timeout_seconds = 600
  tags                       = local.enrolled
}

resource "aws_autoscaling_group" "invoices" {
  name                      = "invoices-workers"
  min_size                  = 0
  max_size                  = 5
  vpc_zone_identifier       = var.subnets
  wait_for_capacity_timeout = "0"

  launch_template {
    id      = var.launch_template_id
    version = "$Latest"
  }

  tag {
    key                 = "sluice:stack"
    value               = var.stack
    propagate_at_launch = true
  }

  lifecycle {
    ignore_changes = [desired_capacity]
  }
}

module "invoices" {
  source = "../../modules/fleet"

  stack_name          = "${var.stack}-invoices"
  template_url        = "${var.release}/fleet.yaml"
  sluice_stack        = module.sluice.stack_name
  fleet_name          = "invoices"
  queue_url           = aws_sqs_queue.invoices.id
  group_name          = aws_autoscaling_group.invoices.name
  target_wait_seconds = 900
}

output "dashboard_url" {
  value       = module.sluice.dashboard_url
  description = "URL of the dashboard with the widget."
}
