// The AWS SDK for JavaScript v3 against a Penstock server: endpoint, region and keys come from the environment.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  ChangeMessageVisibilityCommand, CreateQueueCommand, DeleteMessageBatchCommand, GetQueueAttributesCommand,
  GetQueueUrlCommand, ListMessageMoveTasksCommand, ListQueueTagsCommand, PurgeQueueCommand, QueueDoesNotExist,
  ReceiveMessageCommand, SQSClient, SendMessageBatchCommand, SendMessageCommand, StartMessageMoveTaskCommand,
  TagQueueCommand, paginateListQueues,
} from "@aws-sdk/client-sqs";

const sqs = new SQSClient({});
const prefix = process.env.QUEUE_PREFIX;
const make = async (name, Attributes) =>
  (await sqs.send(new CreateQueueCommand({ QueueName: `${prefix}-${name}`, Attributes }))).QueueUrl;
const receive = async (QueueUrl, more = {}) =>
  (await sqs.send(new ReceiveMessageCommand({
    QueueUrl, MaxNumberOfMessages: 10, MessageSystemAttributeNames: ["All"], MessageAttributeNames: ["All"], ...more,
  }))).Messages ?? [];
const arnOf = async (QueueUrl) =>
  (await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["QueueArn"] }))).Attributes.QueueArn;

const scenarios = {
  // the SDK checks MD5OfMessageBody and MD5OfBody itself and throws when they are wrong
  async "a batch of ten is sent, received and deleted"() {
    const QueueUrl = await make("batch");
    const MessageAttributes = {
      text: { DataType: "String", StringValue: "grüße" },
      bytes: { DataType: "Binary", BinaryValue: Uint8Array.from([0, 255]) },
    };
    const Entries = Array.from({ length: 10 }, (_, n) => ({ Id: `${n}`, MessageBody: `message ${n} ✓`, MessageAttributes }));
    const sent = await sqs.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
    assert.equal(sent.Successful.length, 10);
    assert.match(sent.$metadata.requestId, /^[0-9a-f-]{36}$/);
    const messages = await receive(QueueUrl);
    assert.deepEqual(messages.map((each) => each.Body).sort(), Entries.map((each) => each.MessageBody).sort());
    for (const message of messages) {
      assert.equal(message.MD5OfBody, createHash("md5").update(message.Body).digest("hex"));
      assert.equal(message.MessageAttributes.text.StringValue, "grüße");
      assert.deepEqual([...message.MessageAttributes.bytes.BinaryValue], [0, 255]);
    }
    const handles = messages.map(({ MessageId, ReceiptHandle }) => ({ Id: MessageId, ReceiptHandle }));
    const deleted = await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries: handles }));
    assert.equal(deleted.Successful.length, 10);
  },

  async "errors are typed"() {
    const failure = await sqs.send(new GetQueueUrlCommand({ QueueName: `${prefix}-missing` })).catch((error) => error);
    assert.ok(failure instanceof QueueDoesNotExist);
    assert.equal(failure.name, "QueueDoesNotExist");
    assert.equal(failure.$metadata.httpStatusCode, 400);
    assert.equal(failure.Code, "AWS.SimpleQueueService.NonExistentQueue");
  },

  async "visibility, tags, purge and paging"() {
    const QueueUrl = await make("plain");
    await sqs.send(new TagQueueCommand({ QueueUrl, Tags: { team: "blue" } }));
    assert.deepEqual((await sqs.send(new ListQueueTagsCommand({ QueueUrl }))).Tags, { team: "blue" });
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "again" }));
    const [{ ReceiptHandle }] = await receive(QueueUrl);
    await sqs.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 }));
    const [again] = await receive(QueueUrl);
    assert.equal(again.Attributes.ApproximateReceiveCount, "2");
    await sqs.send(new PurgeQueueCommand({ QueueUrl }));
    const urls = [];
    for (let n = 0; n < 5; n++) await make(`page-${n}`);
    for await (const page of paginateListQueues({ client: sqs, pageSize: 2 }, { QueueNamePrefix: `${prefix}-page` }))
      urls.push(...page.QueueUrls);
    assert.equal(new Set(urls).size, 5);
  },

  async "FIFO: order, repetition and dead letters with redrive"() {
    const deadUrl = await make("dead.fifo", { FifoQueue: "true" });
    const SourceArn = await arnOf(deadUrl);
    const QueueUrl = await make("source.fifo", {
      FifoQueue: "true", ContentBasedDeduplication: "true", VisibilityTimeout: "0",
      RedrivePolicy: JSON.stringify({ deadLetterTargetArn: SourceArn, maxReceiveCount: 1 }),
    });
    const send = (MessageBody) => sqs.send(new SendMessageCommand({ QueueUrl, MessageBody, MessageGroupId: "g" }));
    const first = await send("first");
    assert.equal((await send("first")).SequenceNumber, first.SequenceNumber);
    await send("second");
    assert.deepEqual((await receive(QueueUrl)).map((each) => each.Body), ["first", "second"]);
    assert.deepEqual(await receive(QueueUrl), []);
    await sqs.send(new StartMessageMoveTaskCommand({ SourceArn }));
    const [back] = await receive(QueueUrl, { MaxNumberOfMessages: 1, WaitTimeSeconds: 10 });
    assert.equal(back.Body, "first");
    const { Results } = await sqs.send(new ListMessageMoveTasksCommand({ SourceArn }));
    assert.equal(Results[0].SourceArn, SourceArn);
  },

  async "a poll that is aborted takes no message"() {
    const QueueUrl = await make("aborted");
    const abort = new AbortController();
    const poll = sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 20 }), { abortSignal: abort.signal });
    console.log("polling");
    await once(process.stdin);
    abort.abort();
    await assert.rejects(poll, { name: "AbortError" });
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "kept" }));
    const [kept] = await receive(QueueUrl, { WaitTimeSeconds: 5 });
    assert.equal(kept.Attributes.ApproximateReceiveCount, "1");
  },
};

// resolves when the test says that the server holds the poll
const once = (stream) => new Promise((resolve) => stream.once("data", resolve));

for (const [name, scenario] of Object.entries(scenarios)) {
  await scenario();
  console.log(`ok ${name}`);
}
process.stdin.destroy();
sqs.destroy();
