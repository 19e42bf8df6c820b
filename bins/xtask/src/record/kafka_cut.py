"""aiokafka, and connections that are not seen whole.

joined: the capture begins between two requests
pipelined: 20 requests before the first answer
failing: unknown topics
huge: a record of 80 kB there and back
slow: a Fetch that waits for records that do not come
cancelled: a consumer that closes while its Fetch waits
cut off: the client is killed in the middle of a Produce and while it waits, the broker while a client waits
"""
import asyncio
import socket
import sys

import aiokafka_log
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.protocol.metadata import MetadataRequest
from client_log import Log, end, kill_server, killed, recorded

PORT = int(sys.argv[1])
BROKER = f"127.0.0.1:{PORT}"
log = Log(sys.argv[2])
before = Log(None)
aiokafka_log.write_to(before)
NODE = 111
PLACE = TopicPartition("orders", 0)


async def reader(client, offset, wait):
    consumer = AIOKafkaConsumer(bootstrap_servers=BROKER, client_id=client, fetch_max_wait_ms=wait, max_partition_fetch_bytes=400_000)
    await consumer.start()
    consumer.assign([PLACE])
    consumer.seek(PLACE, offset)
    return consumer


async def fetching(log, client):
    """Until a Fetch waits for its answer."""
    while not any(entry["domain"] == client and entry["operation"] == "Fetch" and entry["kind"] == "request_only" for entry in log.entries):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=BROKER, client_id="admin")
    await admin.start()
    await admin.create_topics([NewTopic("orders", 1, 1)])
    late = AIOKafkaProducer(bootstrap_servers=BROKER, client_id="late", linger_ms=0)
    await late.start()
    await late.send_and_wait("orders", b"before")
    recorded()
    aiokafka_log.write_to(log)
    await late.send_and_wait("orders", b"after")
    await late.send_and_wait("orders", b"x" * 80_000)
    await asyncio.gather(*(late.client.send(NODE, MetadataRequest(["orders", "nowhere"][: 1 + number % 2], False)) for number in range(20)), return_exceptions=True)
    await late.stop()
    await admin.close()
    consumer = await reader("reader", 1, 300)
    for length in (5, 80_000):
        assert len((await consumer.getone()).value) == length
    # What is there has been read: two more come back empty.
    await asyncio.sleep(0.7)
    await consumer.stop()
    slow = [entry for entry in log.entries if entry["operation"] == "Fetch" and entry["kind"] == "request_response"][-1]
    if slow["elapsed_ns"] > 300_000_000:
        slow["at_least_ns"] = 250_000_000
    waits = await reader("closes", 3, 20_000)
    await fetching(log, "closes")
    await waits.stop()


async def last():
    waits = await reader("waits", 3, 20_000)
    await fetching(log, "waits")
    kill_server()
    await waits.stop()


def frame(key, version, number, client, body):
    head = key.to_bytes(2, "big") + version.to_bytes(2, "big") + number.to_bytes(4, "big") + len(client).to_bytes(2, "big") + client.encode()
    return (len(head) + len(body)).to_bytes(4, "big") + head + body


def dies_in_produce():
    dying = socket.create_connection(("127.0.0.1", PORT))
    topic = b"\0\0\0\1\0\6orders\0\0\0\1\0\0\0\0" + (100_000).to_bytes(4, "big")
    dying.sendall(frame(0, 3, 17, "dying", b"\xff\xff\0\1\0\0\x75\x30" + topic + bytes(100_000))[:40_000])


def dies_waiting():
    dying = socket.create_connection(("127.0.0.1", PORT))
    place = b"\0\0\0\1\0\6orders\0\0\0\1\0\0\0\0" + (3).to_bytes(8, "big") + (1000).to_bytes(4, "big")
    dying.sendall(frame(1, 4, 18, "dying", b"\xff\xff\xff\xff\0\0\x4e\x20\0\0\0\1\0\1\0\0\0" + place))


asyncio.run(main())
for operation, number, act in (("Produce", "17", dies_in_produce), ("Fetch", "18", dies_waiting)):
    end(log.begin(operation, "orders", domain="dying", request_id=number), "unanswered")
    killed(act)
asyncio.run(last())
log.write()
