# Made from fleet.yaml by `make terraform`: change the template and not this file.

variable "template_url" {
  type        = string
  description = "URL in S3 of fleet.yaml of a release. It must change with each release: Terraform compares the URL, and not the text behind it."
}

variable "stack_name" {
  type        = string
  description = "Name of the CloudFormation stack, at most 40 characters."
}

variable "deployer_role_arn" {
  type        = string
  default     = null
  description = "ARN of a role that CloudFormation takes for the deployment, such as one with docs/deployer-policy.json. By default it acts as who runs Terraform."
}

variable "tags" {
  type        = map(string)
  default     = {}
  description = "Tags of the stack, which CloudFormation sets on the resources that it makes."
}

variable "queue_url" {
  type        = string
  description = "URL of the queue that the group's instances consume, such as https://sqs.eu-west-1.amazonaws.com/123456789012/orders"

  validation {
    condition     = can(regex("^https?://[A-Za-z0-9.:-]+/\\d{12}/[A-Za-z0-9_-]{1,80}(\\.fifo)?$", var.queue_url))
    error_message = "The queue_url must be a queue URL as the SQS console shows it, in the stack's own account and region."
  }
}

variable "dead_letter_queue_url" {
  type        = string
  default     = ""
  description = "URL of that queue's dead-letter queue. Leave it empty if the queue has none."

  validation {
    condition     = can(regex("^$|^https?://[A-Za-z0-9.:-]+/\\d{12}/[A-Za-z0-9_-]{1,80}(\\.fifo)?$", var.dead_letter_queue_url))
    error_message = "The dead_letter_queue_url must be empty or a queue URL as the SQS console shows it, in the stack's own account and region."
  }
}

variable "group_name" {
  type        = string
  description = "Name of the Auto Scaling group whose instances consume the queue."

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9 ._/@+=-]{0,254}$", var.group_name))
    error_message = "The group_name must be an Auto Scaling group's name (letters, digits, space and ._/@+=- only)."
  }
}

variable "target_wait_seconds" {
  type        = number
  description = "The longest time that a message may wait in the queue before work on it starts, in seconds."

  validation {
    condition     = var.target_wait_seconds >= 1 && var.target_wait_seconds <= 1209600
    error_message = "The target_wait_seconds must be 1 second to 14 days (1209600), the longest that SQS keeps a message."
  }
}

variable "mode" {
  type        = string
  default     = "shadow"
  description = "In mode shadow, Sluice records its decisions and changes no capacity. In mode act, it sets the group's desired capacity. In mode paused, it holds the capacity."

  validation {
    condition     = contains(["shadow", "act", "paused"], var.mode)
    error_message = "The mode must be one of: shadow, act, paused."
  }
}

variable "fleet_name" {
  type        = string
  description = "The fleet's name in metrics, logs, alarms and the widget."

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9-]{0,62}$", var.fleet_name))
    error_message = "The fleet_name must be 1 to 63 letters, digits and hyphens, not beginning with a hyphen."
  }
}

variable "drain_unit" {
  type        = string
  default     = "consumer.service"
  description = "The systemd unit that runs the consumer. Separate several by spaces. A pattern (worker@*.service) or a target is fine too."

  validation {
    condition     = can(regex("^[^\"\\\\\\t\\r\\n]{1,512}$", var.drain_unit))
    error_message = "The drain_unit must be systemd units' names, at most 512 characters, without quotes and backslashes."
  }
}

variable "ready_seconds" {
  type        = string
  default     = ""
  description = "How long a new instance's consumer may take to report that it is ready, in seconds. An instance that is not ready by then is replaced. Leave it empty to count instances without such a report."

  validation {
    condition     = can(regex("^$|^[3-9]\\d$|^[1-9]\\d{2}$|^[1-6]\\d{3}$|^7[01]\\d{2}$|^7200$", var.ready_seconds))
    error_message = "The ready_seconds must be empty or 30 to 7200 seconds, as Auto Scaling allows."
  }
}

variable "settings" {
  type        = any
  default     = {}
  description = "The fleet's other options, such as { drain = { deadline_s = 600 } }. docs/settings.md lists all options."
}

variable "sluice_stack" {
  type        = string
  default     = "sluice"
  description = "Name of the Sluice stack to which this fleet belongs."

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,39}$", var.sluice_stack))
    error_message = "The sluice_stack must be the name of a Sluice stack, at most 40 characters."
  }
}

variable "alarm_topic_arn" {
  type        = string
  default     = ""
  description = "ARN of the SNS topic to which this fleet's alarms are sent. Leave it empty for none."

  validation {
    condition     = can(regex("^$|^arn:[a-z-]+:sns:[a-z0-9-]+:\\d{12}:[A-Za-z0-9_-]{1,256}$", var.alarm_topic_arn))
    error_message = "The alarm_topic_arn must be empty or an SNS topic's ARN."
  }
}

variable "detail" {
  type        = string
  default     = "stack"
  description = "With fleet, this fleet has alarms of its own, and needs a stack with the same Detail, whose functions write their metrics. With stack, the stack's alarms serve it."

  validation {
    condition     = contains(["stack", "fleet"], var.detail)
    error_message = "The detail must be one of: stack, fleet."
  }
}

variable "wake_up_alarms" {
  type        = bool
  default     = false
  description = "Set it to true for two alarms of each queue that invoke the planner when messages wait, for $0.20 a month. A tick usually comes first."
}
