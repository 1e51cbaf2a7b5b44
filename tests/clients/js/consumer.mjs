// sqs-consumer against a Penstock server: endpoint, region and keys come from the environment.
import assert from "node:assert/strict";
import { once } from "node:events";
import { CreateQueueCommand, GetQueueAttributesCommand, ReceiveMessageCommand, SQSClient, SendMessageBatchCommand,
  SendMessageCommand } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

const sqs = new SQSClient({});
const prefix = process.env.QUEUE_PREFIX;
const make = async (name, Attributes) =>
  (await sqs.send(new CreateQueueCommand({ QueueName: `${prefix}-${name}`, Attributes }))).QueueUrl;
const send = (QueueUrl, MessageBody) => sqs.send(new SendMessageCommand({ QueueUrl, MessageBody }));
const left = async (QueueUrl) => {
  const AttributeNames = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames }));
  return AttributeNames.reduce((sum, name) => sum + Number(Attributes[name]), 0);
};
const running = (options) => {
  const consumer = Consumer.create({ sqs, waitTimeSeconds: 20, ...options });
  // an aborted poll is told as an error too
  consumer.on("error", (error) => { if (error.code !== "AbortError") throw error; });
  consumer.start();
  return consumer;
};
const stopped = async (consumer, how) => {
  const said = once(consumer, "stopped");
  consumer.stop(how);
  await said;
};

const scenarios = {
  async "messages are handled one by one and deleted"() {
    const queueUrl = await make("single");
    const Entries = Array.from({ length: 10 }, (_, n) => ({ Id: `${n}`, MessageBody: `${n}` }));
    await sqs.send(new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries }));
    const seen = [];
    const all = new Promise((resolve) => {
      const consumer = running({
        queueUrl, batchSize: 10, messageSystemAttributeNames: ["ApproximateReceiveCount"],
        handleMessage: async (message) => {
          assert.equal(message.Attributes.ApproximateReceiveCount, "1");
          seen.push(message.Body);
          return message;
        },
      });
      consumer.on("response_processed", () => seen.length === 10 && resolve(consumer));
    });
    await stopped(await all, { abort: true });
    assert.deepEqual(seen.sort(), Entries.map((each) => each.MessageBody));
    assert.equal(await left(queueUrl), 0);
  },

  async "batches are handled and deleted together"() {
    const queueUrl = await make("batch");
    for (const body of ["a", "b", "c"]) await send(queueUrl, body);
    const consumer = running({ queueUrl, batchSize: 10, handleMessageBatch: async (messages) => messages });
    await once(consumer, "response_processed");
    await stopped(consumer, { abort: true });
    assert.equal(await left(queueUrl), 0);
  },

  async "a message whose handler fails comes again at once, and its lease is kept by heartbeats"() {
    const queueUrl = await make("failing");
    await send(queueUrl, "twice");
    let count = 0;
    const consumer = Consumer.create({
      sqs, queueUrl, waitTimeSeconds: 20, terminateVisibilityTimeout: true, visibilityTimeout: 2, heartbeatInterval: 1,
      handleMessage: async (message) => {
        if (++count === 1) throw new Error("the first time");
        await new Promise((resolve) => setTimeout(resolve, 2500));
        return message;
      },
    });
    const failed = once(consumer, "processing_error");
    const processed = once(consumer, "message_processed");
    consumer.start();
    await failed;
    await processed;
    await stopped(consumer, { abort: true });
    assert.equal(count, 2);
    assert.equal(await left(queueUrl), 0);
  },

  async "a consumer stopped in mid-poll takes no message"() {
    const queueUrl = await make("stopped");
    const consumer = running({ queueUrl, handleMessage: async () => assert.fail("it was stopped") });
    console.log("polling");
    await once(process.stdin, "data");
    await stopped(consumer, { abort: true });
    await send(queueUrl, "kept");
    const { Messages } = await sqs.send(new ReceiveMessageCommand({
      QueueUrl: queueUrl, WaitTimeSeconds: 5, MessageSystemAttributeNames: ["ApproximateReceiveCount"],
    }));
    assert.equal(Messages[0].Attributes.ApproximateReceiveCount, "1");
  },
};

for (const [name, scenario] of Object.entries(scenarios)) {
  await scenario();
  console.log(`ok ${name}`);
}
process.stdin.destroy();
sqs.destroy();
