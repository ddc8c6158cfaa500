package software.amazon.awssdk.services.sqs.model;

/** A request to hide a message for another time. */
public class ChangeMessageVisibilityRequest {
    public static class Builder {
        private String queueUrl;
        private String receiptHandle;
        private Integer visibilityTimeout;

        public Builder queueUrl(String value) {
            queueUrl = value;
            return this;
        }

        public Builder receiptHandle(String value) {
            receiptHandle = value;
            return this;
        }

        public Builder visibilityTimeout(Integer value) {
            visibilityTimeout = value;
            return this;
        }

        public String json() {
            return String.format("{\"QueueUrl\": \"%s\", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": %d}", queueUrl, receiptHandle, visibilityTimeout);
        }
    }
}
