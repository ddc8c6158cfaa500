# Made from template.yaml by `make terraform`: change the template and not this file.

resource "aws_cloudformation_stack" "this" {
  name         = var.stack_name
  template_url = var.template_url
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
  iam_role_arn = var.deployer_role_arn
  tags         = var.tags

  parameters = {
    QueueUrl           = var.queue_url
    DeadLetterQueueUrl = var.dead_letter_queue_url
    GroupName          = var.group_name
    TargetWaitSeconds  = tostring(var.target_wait_seconds)
    Mode               = var.mode
    FleetName          = var.fleet_name
    DrainUnit          = var.drain_unit
    ReadySeconds       = var.ready_seconds
    Settings           = jsonencode(var.settings)
    AlarmEmail         = var.alarm_email
    AlarmTopicArn      = var.alarm_topic_arn
    Detail             = var.detail
    SetsTags           = tostring(var.sets_tags)
    DataKmsKeyArn      = var.data_kms_key_arn
    TickSeconds        = tostring(var.tick_seconds)
    Architecture       = var.architecture
    LogLevel           = var.log_level
    LogRetentionDays   = tostring(var.log_retention_days)
    ArchiveDays        = tostring(var.archive_days)
  }

  # A fleet's checks wait for up to five minutes, and the stack makes about sixty resources.
  timeouts {
    create = "30m"
    update = "30m"
    delete = "30m"
  }
}
