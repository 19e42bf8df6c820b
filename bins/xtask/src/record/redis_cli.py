"""redis-cli in both versions of the protocol, an answer a line; redis-benchmark's pipeline.

failing: a wrong type, an unknown command, a transaction that is refused
pipelined: redis-benchmark, eight at a time
"""
import json
import subprocess
import sys

from client_log import Log, end

PORT = sys.argv[1]
log = Log(sys.argv[2])
COMMANDS = [
    "SET cart:1 3", "GET cart:1", "LPUSH list a b", "INCR list", 'HSET item name "a b"', "HGETALL item", "MULTI", "INCR n",
    "GET n", "EXEC", "NOSUCH", "MULTI", "NOSUCH", "EXEC", "DEL list",
]
for version in ("-2", "-3"):
    command = ["redis-cli", version, "--json", "-p", PORT]
    if version == "-3":
        end(log.begin("HELLO"))
    # It looks up what commands there are before it sends one.
    end(log.begin("COMMAND", "COMMAND DOCS"))
    ran = subprocess.run(command, input="\n".join(COMMANDS) + "\n", capture_output=True, text=True, check=True)
    # An empty line follows an error.
    answers = [line for line in ran.stdout.splitlines() if line]
    assert len(answers) == len(COMMANDS), ran.stdout
    for text, answer in zip(COMMANDS, answers):
        entry = log.begin(text.split()[0], text.replace('"', ""), protocol="redis", endpoint=text.split()[0])
        if answer.startswith("error:"):
            end(entry, "error", message=json.loads(answer[6:]))
        else:
            end(entry)
command = ["redis-benchmark", "-p", PORT, "--csv", "-n", "16", "-c", "1", "-P", "8", "-t", "set"]
ran = subprocess.run(command, capture_output=True, text=True, check=True)
assert '"SET"' in ran.stdout, ran.stdout
for setting in ("save", "appendonly"):
    end(log.begin("CONFIG", f"CONFIG GET {setting}"))
for _ in range(16):
    end(log.begin("SET"))
log.write()
