"""kcat, which by librdkafka says in its debug output what it sends and receives.

each kind of compression, headers, offsets by time, old versions of the protocol
failing: a topic that is not there, a broker that hangs up, an answer that the client does not understand
pipelined: many batches in flight
"""
import asyncio
import glob
import os
import subprocess
import sys

import confluent_kafka
import aiokafka_log
import librdkafka_log
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from client_log import Log

BROKER = f"127.0.0.1:{sys.argv[1]}"
# Debian's librdkafka does not understand what this broker says of its versions; that of confluent-kafka does.
NEWER = glob.glob(os.path.dirname(confluent_kafka.__file__) + ".libs/librdkafka*")[0]
OLD = ["-X", "api.version.request=false", "-X", "broker.version.fallback=0.9.0"]
log = Log(sys.argv[2])
aiokafka_log.write_to(log)


def kcat(*arguments, text="", code=0, library=NEWER):
    settings = ["-b", BROKER, "-X", "client.id=kcat", "-d", "protocol"]
    if library:
        settings += ["-X", "enable.metrics.push=false"]
    ran = subprocess.run(
        ["kcat", *settings, *arguments], input=text, capture_output=True, text=True, timeout=60, env={**os.environ, "LD_PRELOAD": library})
    assert ran.returncode == code, ran.stderr
    librdkafka_log.read(log, ran.stderr.splitlines())


async def create():
    admin = AIOKafkaAdminClient(bootstrap_servers=BROKER, client_id="admin")
    await admin.start()
    await admin.create_topics([NewTopic("orders", 1, 1)])
    await admin.close()


asyncio.run(create())
LINES = "".join(f"key{number}:order {number}\n" for number in range(20))
kcat("-L")
kcat("-P", "-t", "orders", "-K:", text=LINES)
for codec in ("gzip", "lz4", "snappy", "zstd"):
    header = "traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    kcat("-P", "-t", "orders", "-K:", "-z", codec, "-H", header, text=LINES)
one = ["-X", "batch.num.messages=1", "-X", "linger.ms=0", "-X", "acks=1"]
kcat("-P", "-t", "orders", *one, text="".join(f"one {number}\n" for number in range(30)))
kcat("-P", "-t", "orders", "-X", "acks=0", text="not acknowledged\n")
kcat("-L", "-t", "orders")
kcat("-C", "-t", "orders", "-e", "-o", "beginning")
kcat("-C", "-t", "orders", "-e", "-o", "-5", "-X", "fetch.wait.max.ms=100")
kcat("-Q", "-t", "orders:0:-1")
kcat("-C", "-t", "nowhere", "-e", "-X", "allow.auto.create.topics=false", code=1)
kcat("-L", *OLD, library="")
kcat("-C", "-t", "orders", "-e", *OLD, library="", code=1)
kcat("-P", "-t", "orders", *OLD, text="too old\n", library="", code=1)
kcat("-L", "-m", "1", library="", code=1)
log.write()
