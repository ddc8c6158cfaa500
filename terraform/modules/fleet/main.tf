# Made from fleet.yaml by `make terraform`: change the template and not this file.

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
    SluiceStack        = var.sluice_stack
    AlarmTopicArn      = var.alarm_topic_arn
    Detail             = var.detail
    WakeUpAlarms       = tostring(var.wake_up_alarms)
  }

  # A fleet's checks wait for up to five minutes, and the stack makes about sixty resources.
  timeouts {
    create = "30m"
    update = "30m"
    delete = "30m"
  }
}
