import software.amazon.awssdk.services.sqs.SqsClient;
import software.amazon.awssdk.services.sqs.model.Message;

public class Consumer {
    static final String QUEUE_URL = System.getenv("QUEUE_URL");
    static volatile boolean leaving = false;

    // Your work. Here a message's body says how many seconds it takes.
    static void work(String body) throws InterruptedException {
        System.out.println("begun " + body);
        double seconds = Double.parseDouble(body);
        if (seconds < 0) {
            throw new IllegalArgumentException(body + " is no number of seconds");
        }
        Thread.sleep((long) (seconds * 1000));
        System.out.println("done " + body);
    }

    public static void main(String[] arguments) throws InterruptedException {
        Thread consumer = Thread.currentThread();
        // On SIGTERM the JVM runs its shutdown hooks, and ends when they have returned: this one waits for the consumer.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            leaving = true;
            try {
                consumer.join();
            } catch (InterruptedException stopped) {
                Thread.currentThread().interrupt();
            }
        }));

        try (SqsClient sqs = SqsClient.create()) {
            while (!leaving) {
                // This is not aborted on SIGTERM: what SQS has handed out by then must be returned.
                var received = sqs.receiveMessage(r -> r.queueUrl(QUEUE_URL).maxNumberOfMessages(4).waitTimeSeconds(10));
                for (Message message : received.messages()) {
                    String handle = message.receiptHandle();
                    if (leaving) {
                        sqs.changeMessageVisibility(r -> r.queueUrl(QUEUE_URL).receiptHandle(handle).visibilityTimeout(0));
                        continue;
                    }
                    try {
                        work(message.body());
                    } catch (RuntimeException error) {
                        error.printStackTrace(); // SQS delivers the message again, and in the end to the dead-letter queue.
                        continue;
                    }
                    sqs.deleteMessage(r -> r.queueUrl(QUEUE_URL).receiptHandle(handle));
                }
            }
        }
    }
}
