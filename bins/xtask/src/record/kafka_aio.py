"""aiokafka: a producer, a consumer of its own, a group, an administrator. Logged where the library sends and hears."""
import asyncio
import sys

import aiokafka_log
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from client_log import Log

BROKER = f"127.0.0.1:{sys.argv[1]}"
log = Log(sys.argv[2])
aiokafka_log.write_to(log)


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
