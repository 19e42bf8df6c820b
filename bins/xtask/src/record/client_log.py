"""What a client did, in the order in which it began it, one JSON object a line.

operation, resource: what was asked, in the words of the protocol
status: ok, error, cancelled (by the client), unanswered, one_way (no answer wanted)
code, message: of the answer, as the client saw them; of what it cancelled, those it would have seen
Other members name fields of the call. What the client does not know is absent, and not compared.
"""
import json


class Log:
    def __init__(self, path):
        self.path = path
        self.entries = []

    def begin(self, operation, resource=None, **known):
        entry = {"operation": operation}
        if resource is not None:
            entry["resource"] = resource
        entry.update(known)
        self.entries.append(entry)
        return entry

    def write(self):
        with open(self.path, "w") as file:
            for entry in self.entries:
                file.write(json.dumps(entry) + "\n")


def end(entry, status="ok", code=None, message=None):
    entry["status"] = status
    if code is not None:
        entry["code"] = str(code)
    if message is not None:
        entry["message"] = message
