package software.amazon.awssdk.services.sqs.model;

/** A request for messages. */
public class ReceiveMessageRequest {
    public static class Builder {
        private String queueUrl;
        private Integer maxNumberOfMessages;
        private Integer waitTimeSeconds;

        public Builder queueUrl(String value) {
            queueUrl = value;
            return this;
        }

        public Builder maxNumberOfMessages(Integer value) {
            maxNumberOfMessages = value;
            return this;
        }

        public Builder waitTimeSeconds(Integer value) {
            waitTimeSeconds = value;
            return this;
        }

        public String json() {
            return String.format("{\"QueueUrl\": \"%s\", \"MaxNumberOfMessages\": %d, \"WaitTimeSeconds\": %d}", queueUrl, maxNumberOfMessages, waitTimeSeconds);
        }
    }
}
