package software.amazon.awssdk.services.sqs.model;

import java.util.List;

/** What a receive brought. */
public record ReceiveMessageResponse(List<Message> messages) {}
