# Made from template.yaml by `make terraform`: change the template and not this file.

variable "template_url" {
  type        = string
  description = "URL in S3 of template.yaml of a release. It must change with each release: Terraform compares the URL, and not the text behind it."
}

variable "stack_name" {
  type        = string
  default     = "sluice"
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
  default     = "main"
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

variable "alarm_email" {
  type        = string
  default     = ""
  description = "The email address to which alarms are sent. Leave it empty for no email."

  validation {
    condition     = can(regex("^$|^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", var.alarm_email))
    error_message = "The alarm_email must be empty or an email address."
  }
}

variable "alarm_topic_arn" {
  type        = string
  default     = ""
  description = "ARN of an SNS topic of your own to which alarms are sent, in place of AlarmEmail. Leave it empty for none."

  validation {
    condition     = can(regex("^$|^arn:[a-z-]+:sns:[a-z0-9-]+:\\d{12}:[A-Za-z0-9_-]{1,256}$", var.alarm_topic_arn))
    error_message = "The alarm_topic_arn must be empty or an SNS topic's ARN."
  }
}

variable "detail" {
  type        = string
  default     = "stack"
  description = "With stack, metrics and alarms are those of the whole stack, and the log lines name the fleets. With fleet, each fleet has metrics and alarms of its own as well, for $5 to $8 a fleet and month."

  validation {
    condition     = contains(["stack", "fleet"], var.detail)
    error_message = "The detail must be one of: stack, fleet."
  }
}

variable "sets_tags" {
  type        = bool
  default     = true
  description = "A deployment sets the tag sluice:stack on a fleet's group, its instances and its queues, since the stack may use only what has it. Set this parameter to false to set the tags yourself, such as with sluice enroll."
}

variable "data_kms_key_arn" {
  type        = string
  default     = ""
  description = "ARN of a KMS key of your own that encrypts the archive, the ledger, the failures queue, the logs and the alarm topic. If it is empty, AWS's own keys encrypt them, even where a key of your own encrypts the queues."

  validation {
    condition     = can(regex("^$|^arn:[a-z-]+:kms:[a-z0-9-]+:\\d{12}:key/[A-Za-z0-9-]{1,64}$", var.data_kms_key_arn))
    error_message = "The data_kms_key_arn must be empty or a KMS key's ARN (not an alias)."
  }
}

variable "tick_seconds" {
  type        = number
  default     = 10
  description = "The time between two ticks of each fleet, in seconds. A larger one costs less and sees messages later."

  validation {
    condition     = var.tick_seconds >= 1 && var.tick_seconds <= 60
    error_message = "The tick_seconds must be 1 to 60 seconds."
  }
}

variable "architecture" {
  type        = string
  default     = "arm64"
  description = "Processor architecture of the functions. One build serves both."

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "The architecture must be one of: arm64, x86_64."
  }
}

variable "log_level" {
  type        = string
  default     = "INFO"
  description = "The lowest level of log lines that are kept."

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR"], var.log_level)
    error_message = "The log_level must be one of: DEBUG, INFO, WARNING, ERROR."
  }
}

variable "log_retention_days" {
  type        = number
  default     = 30
  description = "How long logs are kept, in days."

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "The log_retention_days must be one of: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653."
  }
}

variable "archive_days" {
  type        = number
  default     = 30
  description = "How long the copy of a quarantined message is kept after the message was sent back, in days. A message that is still in quarantine does not expire."

  validation {
    condition     = var.archive_days >= 1 && var.archive_days <= 3650
    error_message = "The archive_days must be 1 to 3650 days."
  }
}
