package software.amazon.awssdk.services.sqs;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import software.amazon.awssdk.services.sqs.model.ChangeMessageVisibilityRequest;
import software.amazon.awssdk.services.sqs.model.DeleteMessageRequest;
import software.amazon.awssdk.services.sqs.model.Message;
import software.amazon.awssdk.services.sqs.model.ReceiveMessageRequest;
import software.amazon.awssdk.services.sqs.model.ReceiveMessageResponse;

/** Stands for the client of AWS's SDK for Java 2 in tests on the sandbox: the few calls of examples/languages/Consumer.java. */
public class SqsClient implements AutoCloseable {
    private static final Pattern MESSAGE = Pattern.compile("\\{[^{}]*\"ReceiptHandle\"[^{}]*(\\{[^{}]*\\}[^{}]*)*\\}");
    // As the SDK's own client does; Java's asks for HTTP/2 first.
    private final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    public static SqsClient create() {
        return new SqsClient();
    }

    public ReceiveMessageResponse receiveMessage(Consumer<ReceiveMessageRequest.Builder> fill) {
        var request = new ReceiveMessageRequest.Builder();
        fill.accept(request);
        List<Message> messages = new ArrayList<>();
        Matcher found = MESSAGE.matcher(call("ReceiveMessage", request.json()));
        while (found.find()) {
            messages.add(new Message(text(found.group(), "Body"), text(found.group(), "ReceiptHandle")));
        }
        return new ReceiveMessageResponse(messages);
    }

    public void changeMessageVisibility(Consumer<ChangeMessageVisibilityRequest.Builder> fill) {
        var request = new ChangeMessageVisibilityRequest.Builder();
        fill.accept(request);
        call("ChangeMessageVisibility", request.json());
    }

    public void deleteMessage(Consumer<DeleteMessageRequest.Builder> fill) {
        var request = new DeleteMessageRequest.Builder();
        fill.accept(request);
        call("DeleteMessage", request.json());
    }

    @Override
    public void close() {}

    private static String text(String json, String name) {
        Matcher found = Pattern.compile("\"" + name + "\":\\s*\"([^\"]*)\"").matcher(json);
        if (!found.find()) {
            throw new IllegalStateException("no " + name + " in " + json);
        }
        return found.group(1);
    }

    /** The sandbox reads who asks from the header, and checks no signature. */
    private String call(String action, String json) {
        String key = System.getenv("AWS_ACCESS_KEY_ID") + "/20260101/" + System.getenv("AWS_REGION") + "/sqs/aws4_request";
        var request = HttpRequest.newBuilder(URI.create(System.getenv("AWS_ENDPOINT_URL")))
            .header("Content-Type", "application/x-amz-json-1.0")
            .header("X-Amz-Target", "AmazonSQS." + action)
            .header("Authorization", "AWS4-HMAC-SHA256 Credential=" + key + ", SignedHeaders=host, Signature=0")
            .POST(HttpRequest.BodyPublishers.ofString(json))
            .build();
        try {
            HttpResponse<String> answer = http.send(request, HttpResponse.BodyHandlers.ofString());
            if (answer.statusCode() != 200) {
                throw new IllegalStateException(answer.body());
            }
            return answer.body();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }
}
