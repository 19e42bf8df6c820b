"""MySQL Connector/Python, logged by the byte, and connections that are not seen whole.

joined: the capture begins between two answers, with a statement prepared before, and in the middle of a long answer
pipelined: commands in one segment
failing: within a pipeline, by KILL QUERY
huge: 70 kB there and back, 700 rows
slow: SLEEP
cancelled: KILL QUERY, KILL of the connection, a client that closes while it waits
cut off: the client is killed in the middle of a command and while it waits, the server while a client waits
"""
import os
import signal
import socket
import sys

from client_log import Log, end, kill_server, killed, recorded
from mysql_packets import QUERY, Client, packets

log = Log(sys.argv[2], clock=True)
before = Log(None)

late, middle = Client(before), Client(before)
late.do("CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer VARCHAR(40), note LONGTEXT)")
prepared = late.server.cmd_stmt_prepare(b"SELECT 1 + ?")
middle.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
held = middle.send("SELECT REPEAT('x', 150000)")[0]
recorded()
late.log = middle.log = log
entry = log.begin("COM_STMT_EXECUTE", None, attributes={"db.mysql.statement_id": prepared["statement_id"]})
answer = late.server.cmd_stmt_execute(prepared["statement_id"], (1,), prepared["parameters"])
late.server.unread_result = True
late.server.get_rows(binary=True, columns=answer[1])
end(entry, code=0, resource=None)
late.do("SELECT id FROM orders")
# The rest of an answer that began before.
middle.hear(held)
middle.do("SELECT 'after it'")

one, two = Client(log), Client(log)
one.do("INSERT INTO orders (customer) VALUES ('Ann')", "SELECT customer FROM orders", "SELECT price FROM orders", "SELECT 'last'")
one.do(*(f"SELECT {number}" for number in range(40)))
one.do(f"INSERT INTO orders (note) VALUES ('{'y' * 70_000}')")
one.do("SELECT note FROM orders")
one.do("SELECT seq, REPEAT('r', 100) FROM seq_1_to_700")
one.do("SELECT SLEEP(0.3)")["at_least_ns"] = 300_000_000
for text in ("KILL QUERY", "KILL"):
    waiting = one.send("SELECT SLEEP(60) FROM orders")[0]
    # Until it has begun.
    while True:
        two.server.cmd_query("SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(60)%'")
        log.begin("COM_QUERY", "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(60)%'").pop("began")
        if int(two.server.get_rows()[0][0][0]):
            break
    two.do(f"{text} {one.server.connection_id}")
    try:
        one.hear(waiting)
    except ConnectionError:
        end(waiting, "unanswered")
three = Client(log)
waiting = three.send("SELECT SLEEP(60)")[0]
three.socket.close()
end(waiting, "unanswered")


def dies_in_command():
    dying = Client(before)
    dying.socket.sendall(packets(bytes([QUERY]) + b"SELECT '" + b"k" * 100_000 + b"'")[:40_000])
    os.kill(os.getpid(), signal.SIGKILL)


def dies_waiting():
    dying = Client(before)
    dying.send("SELECT SLEEP(50)")
    os.kill(os.getpid(), signal.SIGKILL)


for resource, act in (("SELECT 'k", dies_in_command), ("SELECT SLEEP(50)", dies_waiting)):
    log.begin("LOGIN").pop("began")
    entry = log.begin("COM_QUERY", resource_begin=resource)
    killed(act)
    end(entry, "unanswered")
two.do("SELECT 'before the end'")
waiting = two.send("SELECT SLEEP(40)")[0]
kill_server()
try:
    two.hear(waiting)
except ConnectionError:
    end(waiting, "unanswered")
log.write()
