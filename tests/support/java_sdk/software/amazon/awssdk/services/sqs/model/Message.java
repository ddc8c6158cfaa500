package software.amazon.awssdk.services.sqs.model;

/** A message as received. */
public record Message(String body, String receiptHandle) {}
