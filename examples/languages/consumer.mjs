import { ChangeMessageVisibilityCommand, DeleteMessageCommand, ReceiveMessageCommand, SQSClient } from "@aws-sdk/client-sqs";

const sqs = new SQSClient();
const QueueUrl = process.env.QUEUE_URL;

let leaving = false;
process.on("SIGTERM", () => { leaving = true; });

// Your work. Here a message's body says how many seconds it takes.
async function work(body) {
  console.log(`begun ${body}`);
  if (!(Number(body) >= 0)) throw new Error(`${body} is no number of seconds`);
  await new Promise((resolve) => setTimeout(resolve, Number(body) * 1000));
  console.log(`done ${body}`);
}

while (!leaving) {
  // This is not aborted on SIGTERM: what SQS has handed out by then must be returned.
  const { Messages = [] } = await sqs.send(
    new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 4, WaitTimeSeconds: 10 }),
  );
  for (const { Body, ReceiptHandle } of Messages) {
    if (leaving) {
      await sqs.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 }));
      continue;
    }
    try {
      await work(Body);
    } catch (error) {
      console.error(error); // SQS delivers the message again, and in the end to the dead-letter queue.
      continue;
    }
    await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
  }
}
