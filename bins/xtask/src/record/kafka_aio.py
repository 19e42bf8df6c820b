"""aiokafka: a producer, a consumer of its own, a group, an administrator. Logged where the library sends and hears."""
import asyncio
import re
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.conn import AIOKafkaConnection
from client_log import Log, end

BROKER = f"127.0.0.1:{sys.argv[1]}"
# As the protocol guide names them.
NAMES = {"ApiVersion": "ApiVersions", "Offset": "ListOffsets", "GroupCoordinator": "FindCoordinator"}
TOPIC_LISTS = ("topics", "create_topic_requests")
log = Log(sys.argv[2])
send = AIOKafkaConnection.send


def topics(fields):
    names = []
    for key in TOPIC_LISTS:
        for topic in fields.get(key) or []:
            names.append(topic if isinstance(topic, str) else topic.get("topic", topic.get("name")))
    return ",".join(dict.fromkeys(names)) or None


def codes(fields):
    if isinstance(fields, dict):
        if "error_code" in fields:
            yield fields["error_code"]
        fields = fields.values()
    if not isinstance(fields, (str, bytes, int, type(None))):
        for field in fields:
            yield from codes(field)


def logged(connection, request, expect_response=True):
    sent = send(connection, request, expect_response)
    struct = request.prepare(connection._versions)
    name = re.sub(r"Request(_v\d+)?$", "", type(struct).__name__)
    known = {"request_id": str(connection._correlation_id), "domain": connection._client_id}
    entry = log.begin(NAMES.get(name, name), topics(struct.to_object()), **known)
    if not expect_response:
        end(entry, "one_way")
        return sent

    async def answered():
        response = await sent
        code = next((code for code in codes(response.to_object()) if code != 0), 0)
        entry["code"] = str(code)
        if code == 0:
            entry["status"] = "ok"
        return response

    return answered()


AIOKafkaConnection.send = logged


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=BROKER, client_id="admin")
    await admin.start()
    await admin.create_topics([NewTopic("orders", 1, 1), NewTopic("news", 1, 1)])
    await admin.create_topics([NewTopic("orders", 1, 1)])
    await admin.list_topics()
    for acks in (1, "all", 0):
        producer = AIOKafkaProducer(bootstrap_servers=BROKER, client_id="shop", acks=acks, linger_ms=20)
        await producer.start()
        sent = [await producer.send("orders", b"order %d" % number, key=b"k") for number in range(3)]
        await producer.send_and_wait("news", b"x" * 2000)
        await asyncio.gather(*sent)
        await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=BROKER, client_id="reader", auto_offset_reset="earliest")
    await consumer.start()
    place = TopicPartition("orders", 0)
    consumer.assign([place])
    for _ in range(6):
        await consumer.getone()
    await consumer.end_offsets([place])
    await consumer.stop()
    member = AIOKafkaConsumer("news", bootstrap_servers=BROKER, client_id="member", group_id="readers",
                              auto_offset_reset="earliest", enable_auto_commit=False, fetch_max_wait_ms=200)
    await member.start()
    await member.getone()
    await member.commit()
    await member.committed(TopicPartition("news", 0))
    await member.stop()
    await admin.delete_topics(["news"])
    await admin.delete_topics(["nowhere"])
    await admin.close()


asyncio.run(main())
log.write()
