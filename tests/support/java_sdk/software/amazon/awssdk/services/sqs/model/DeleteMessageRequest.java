package software.amazon.awssdk.services.sqs.model;

/** A request to delete a message. */
public class DeleteMessageRequest {
    public static class Builder {
        private String queueUrl;
        private String receiptHandle;

        public Builder queueUrl(String value) {
            queueUrl = value;
            return this;
        }

        public Builder receiptHandle(String value) {
            receiptHandle = value;
            return this;
        }

        public String json() {
            return String.format("{\"QueueUrl\": \"%s\", \"ReceiptHandle\": \"%s\"}", queueUrl, receiptHandle);
        }
    }
}
