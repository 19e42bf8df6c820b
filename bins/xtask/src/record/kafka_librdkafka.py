"""librdkafka says in its debug output what it sends and receives."""
import os
import sys
import tempfile

import librdkafka_log
from client_log import Log
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

BROKER = f"127.0.0.1:{sys.argv[1]}"
log = Log(sys.argv[2])
said = tempfile.TemporaryFile("w+")
os.dup2(said.fileno(), 2)


def settings(client, **more):
    return {"bootstrap.servers": BROKER, "client.id": client, "debug": "protocol",
            "enable.metrics.push": False, **more}


admin = AdminClient(settings("admin"))
for _ in range(2):
    for future in admin.create_topics([NewTopic("orders", 1, 1)]).values():
        try:
            future.result()
        except KafkaException:
            pass
admin.list_topics("orders", timeout=10)
for more in ({"acks": "1"}, {"compression.type": "gzip"}, {"enable.idempotence": True}):
    producer = Producer(settings("shop", **more))
    for number in range(3):
        producer.produce("orders", b"order %d" % number, key=b"k", headers={"traceparent": b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
    assert producer.flush(20) == 0
    del producer
consumer = Consumer(settings("reader", **{"group.id": "readers", "auto.offset.reset": "earliest", "enable.auto.commit": False}))
consumer.subscribe(["orders"])
heard = 0
for _ in range(40):
    message = consumer.poll(1)
    heard += message is not None and message.error() is None
    if heard == 9:
        consumer.commit(asynchronous=False)
        break
consumer.close()
del admin

said.seek(0)
librdkafka_log.read(log, said)
log.write()
