# Made from queue.yaml by `make terraform`: change the template and not this file.

variable "template_url" {
  type        = string
  description = "URL in S3 of queue.yaml of a release. It must change with each release: Terraform compares the URL, and not the text behind it."
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

variable "shares_dead_letters" {
  type        = bool
  default     = false
  description = "Set it to true if another queue of the fleet has the same dead-letter queue. That queue's mapping and alarms then serve both."
}

variable "fleet_name" {
  type        = string
  description = "Name of the fleet whose group consumes the queue."

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9-]{0,62}$", var.fleet_name))
    error_message = "The fleet_name must be 1 to 63 letters, digits and hyphens, not beginning with a hyphen."
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

variable "priority" {
  type        = number
  default     = 0
  description = "The order in which consumers take from the fleet's queues. The queue with the highest number is first, and the fleet's first queue has 0."

  validation {
    condition     = var.priority >= -100 && var.priority <= 100
    error_message = "The priority must be -100 to 100."
  }
}

variable "paused" {
  type        = bool
  default     = false
  description = "Set it to true while consumers take nothing from the queue. Sluice then plans no capacity for it, and its dead letters wait."
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
