"""redis-py: pipelines, transactions, subscriptions, scripts, blocking commands, in both versions of the protocol."""
import sys

import redis
from client_log import Log, end
from redis.connection import Connection

log = Log(sys.argv[2])
PORT = int(sys.argv[1])


class Client:
    """A connection: commands are sent and answers read one by one, so that the log is what the connection saw."""

    def __init__(self, version):
        self.connection = Connection(port=PORT, protocol=version, socket_timeout=30, driver_info=None)
        if version == 3:
            # How redis-py begins.
            end(log.begin("HELLO", "HELLO 3"))
        self.connection.connect()

    def send(self, *commands):
        entries = [log.begin(str(command[0]).upper(), " ".join(map(str, command))) for command in commands]
        self.connection.send_packed_command(self.connection.pack_commands(commands))
        return entries

    def hear(self, entry):
        try:
            answer = self.connection.read_response(push_request=True)
        except redis.ResponseError as error:
            return end(entry, "error", message=str(error))
        if isinstance(answer, list) and answer and isinstance(answer[0], Exception):
            answer = None
        end(entry)
        return answer

    def do(self, *commands):
        """All are sent before the first answer is read."""
        return [self.hear(entry) for entry in self.send(*commands)]

    def pushed(self):
        answer = self.connection.read_response(push_request=True)
        kind, channel = answer[0].decode().upper(), answer[1].decode()
        end(log.begin(kind, channel, attributes={"initiator": "server"}), "one_way")


for version in (2, 3):
    one, two = Client(version), Client(version)
    one.do(("SET", "cart:1", "3"), ("GET", "cart:1"), ("INCR", "cart:1"), ("GET", "none"))
    one.do(*[("RPUSH", "list", number) for number in range(10)])
    one.do(("LRANGE", "list", "0", "-1"), ("INCR", "list"), ("LLEN", "list"))
    one.do(("MULTI",), ("SET", "a", "1"), ("LPUSH", "a", "x"), ("EXEC",))
    one.do(("WATCH", "a"), ("MULTI",), ("GET", "a"), ("DISCARD",))
    one.do(("MULTI",), ("NOSUCH",), ("EXEC",))
    one.do(("EVAL", "return redis.call('GET', KEYS[1])", "1", "a"), ("EVALSHA", "0" * 40, "0"))
    one.do(("HSET", "item", "name", "a b", "price", "1.5"), ("HGETALL", "item"), ("ZADD", "z", "1.5", "m"), ("ZSCORE", "z", "m"))
    one.do(("SET", "big", "x" * 3000), ("GET", "big"), ("SCAN", "0"), ("PING",), ("ECHO", "hello"))
    # It waits until another connection pushes.
    waiting = one.send(("BLPOP", "queue", "30"))
    two.do(("CLIENT", "ID"), ("RPUSH", "queue", "job"))
    one.hear(waiting[0])
    for entry in one.send(("SUBSCRIBE", "news", "weather")):
        one.connection.read_response(push_request=True)
        one.connection.read_response(push_request=True)
        end(entry)
    two.do(("PUBLISH", "news", "sold out"), ("PUBLISH", "nobody", "hears"))
    one.pushed()
    # Answers that are not wanted, then no more until they are.
    skip, unanswered = two.send(("CLIENT", "REPLY", "SKIP"), ("SET", "a", "2"))
    end(skip, "one_way")
    end(unanswered, "one_way")
    two.do(("GET", "a"))
    for entry in two.send(("CLIENT", "REPLY", "OFF"), ("SET", "a", "3"), ("GET", "a")):
        end(entry, "one_way")
    two.do(("CLIENT", "REPLY", "ON"), ("GET", "a"))
    if version == 3:
        # The server says when somebody else changes what was read.
        three = Client(version)
        three.do(("CLIENT", "TRACKING", "ON"), ("GET", "a"))
        two.do(("SET", "a", "4"),)
        three.connection.read_response(push_request=True)
        end(log.begin("INVALIDATE", attributes={"initiator": "server"}), "one_way")
        three.connection.disconnect()
    two.do(("XADD", "stream", "1-1", "k", "v"), ("XREAD", "COUNT", "1", "STREAMS", "stream", "0"), ("XLEN", "stream"), ("DEL", "stream"))
    two.do(("DEL", "a", "list", "item", "z", "cart:1"), ("QUIT",))
    one.connection.disconnect()
    two.connection.disconnect()
log.write()
