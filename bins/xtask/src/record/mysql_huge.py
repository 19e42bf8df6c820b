"""A command of 17 MB, which is two packets, and one after it.

huge: longer than any message that is kept
"""
import sys

from client_log import Log, end
from mysql_packets import Client

log = Log(sys.argv[2], clock=True)
first = Client(log)
first.do("SET GLOBAL max_allowed_packet = 64 * 1024 * 1024", "CREATE TABLE orders (note LONGTEXT)")
end(log.begin("COM_QUIT"), "one_way")
first.server.close()
one = Client(log)
text = f"INSERT INTO orders VALUES ('{'z' * 17_000_000}')"
# The second packet begins where a segment does, so that its head is in the capture.
one.do(text, pause=0xFFFFFF + 4)
one.do("SELECT length(note) FROM orders", "SELECT price FROM orders")
log.write()
