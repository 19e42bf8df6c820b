"""python-zeroconf, one that offers a service and one that looks for it; each writes down what it sends.

Questions go to everybody; an answer, to everybody or to who asked, is a call of its own, as it comes from elsewhere.
sent again: the same question is one call
never answered: a service that nobody offers
"""
import sys
import threading

import zeroconf
from client_log import Log, end
from zeroconf import ServiceBrowser, ServiceInfo, Zeroconf

log = Log(sys.argv[2])
TYPE = "_shop._tcp.local."
TYPES = {12: "PTR", 16: "TXT", 33: "SRV"}
found = threading.Event()
questions = {}
send = zeroconf._core.async_send_with_transport


def logged(debug, transport, packet, number, out, *where):
    send(debug, transport, packet, number, out, *where)
    if out.is_query():
        first = out.questions[0]
        asked = TYPES[first.type], first.name.removesuffix(".")
        if asked in questions:
            questions[asked]["attributes"]["retries"] += 1
            return
        entry = questions[asked] = log.begin(*asked, protocol="mdns", request_bytes=len(packet), attributes={"retries": 0})
        end(entry, "unanswered")
    else:
        entry = log.begin(None, protocol="mdns", kind="response_only", response_bytes=len(packet))
        end(entry, code=0)


class Listener:
    def add_service(self, zeroconf, kind, name):
        found.set()

    def update_service(self, *arguments):
        pass

    remove_service = update_service


zeroconf._core.async_send_with_transport = logged
offering = Zeroconf(interfaces=["127.0.0.1"])
service = ServiceInfo(TYPE, f"Till.{TYPE}", addresses=[b"\x7f\0\0\1"], port=8080, server="till.local.", properties={"path": "/"})
offering.register_service(service)
looking = Zeroconf(interfaces=["127.0.0.1"])
browser = ServiceBrowser(looking, TYPE, Listener())
assert found.wait(10)
assert looking.get_service_info(TYPE, f"Till.{TYPE}", timeout=3000).port == 8080
assert looking.get_service_info(TYPE, f"None.{TYPE}", timeout=600) is None
browser.cancel()
offering.unregister_service(service)
looking.close()
offering.close()
log.write()
