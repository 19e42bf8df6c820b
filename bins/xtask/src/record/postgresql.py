"""PostgreSQL's own clients: psql (simple queries), pgbench (its three ways to send a statement), libpq through psycopg."""
import re
import subprocess
import sys
import tempfile

from client_log import Log, end
from psycopg import pq

PORT = sys.argv[1]
log = Log(sys.argv[2])
WHERE = f"host=127.0.0.1 port={PORT} dbname=shop"


def connected(failure=None):
    """Every connection asks for TLS, which the server does not speak, and then gives its name."""
    end(log.begin("SSL_REQUEST"), code="N")
    startup = log.begin("STARTUP")
    end(startup, "error" if failure else "ok", failure or "00000")


def psql(*statements):
    connected()
    lines = "".join(f"{statement}\n\\echo state :SQLSTATE\n" for statement in statements)
    command = ["psql", "-X", "-q", "-o", "/dev/null", f"{WHERE} user=postgres"]
    ran = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    states = re.findall(r"^state (\w+)$", ran.stdout, re.MULTILINE)
    assert len(states) == len(statements), ran.stdout
    messages = iter(re.findall(r"^ERROR:  (.*)$", ran.stderr, re.MULTILINE))
    for statement, state in zip(statements, states):
        text = statement.split("\n")[0].replace("\\;", ";")
        entry = log.begin("COPY" if text.startswith("COPY") else "QUERY", text)
        if state == "00000":
            end(entry, code=state)
        else:
            end(entry, "error", state, next(messages))


def pgbench(mode, script):
    """With --debug pgbench says what it sends. Before its client connects, it looks itself."""
    connected()
    connected()
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = ["pgbench", "-n", "-c1", "-t2", "-M", mode, "--debug", "-f", file.name, f"{WHERE} user=postgres"]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "number of transactions actually processed: 2/2" in ran.stdout, ran.stdout
    # What pgbench prepares is named after its place among the statements.
    texts = [line.replace(":id", "$1") for line in script.splitlines() if not line.startswith("\\")]
    for what, text in re.findall(r"client 0 (preparing|sending) (.*)", ran.stderr):
        if mode == "prepared":
            text = texts[int(text.removeprefix("P_"))]
        operations = {"simple": ["QUERY"], "extended": ["PARSE", "EXECUTE"], "prepared": ["EXECUTE"]}[mode]
        for operation in ["PARSE"] if what == "preparing" else operations:
            end(log.begin(operation, text), code="00000")


class Connection:
    """libpq, one method for each of its functions."""

    def __init__(self, who="user=postgres", failure=None):
        connected(failure)
        self.libpq = pq.PGconn.connect(f"{WHERE} {who}".encode())
        assert (self.libpq.status == pq.ConnStatus.OK) == (failure is None), self.libpq.error_message
        self.texts = {}

    def ended(self, entry, result):
        state = result.error_field(pq.DiagnosticField.SQLSTATE)
        if state is None:
            end(entry, code="00000")
        else:
            end(entry, "error", state.decode(), result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY).decode())
        return state is None

    def query(self, text, operation="QUERY"):
        entry = log.begin(operation, text or None)
        result = self.libpq.exec_(text.encode())
        if result.status not in (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT):
            self.ended(entry, result)
        return entry

    def results(self):
        while (result := self.libpq.get_result()) is not None:
            yield result

    def params(self, text, *values, refused=False):
        """PQexecParams: a Parse and an Execute; the first failure is what it says of both."""
        parse, execute = log.begin("PARSE", text), log.begin("EXECUTE", text)
        result = self.libpq.exec_params(text.encode(), [str(value).encode() for value in values])
        self.shared(parse, execute, result, refused)

    def shared(self, parse, execute, result, refused):
        if refused:
            assert not self.ended(parse, result)
            end(execute, "unanswered")
        else:
            end(parse, code="00000")
            self.ended(execute, result)

    def prepare(self, name, text):
        self.texts[name] = text
        self.ended(log.begin("PARSE", text), self.libpq.prepare(name.encode(), text.encode()))
        self.libpq.describe_prepared(name.encode())

    def execute(self, name, *values):
        values = [str(value).encode() for value in values]
        self.ended(log.begin("EXECUTE", self.texts[name]), self.libpq.exec_prepared(name.encode(), values))

    def pipeline(self, *turns):
        """Turns of statements with their values, each ended by a Sync, all sent before the first answer is read. What a None stands
        before is refused when it is parsed."""
        self.libpq.enter_pipeline_mode()
        waiting = []
        for turn in turns:
            for text, *values in turn:
                refused = values[:1] == [None]
                waiting.append((log.begin("PARSE", text), log.begin("EXECUTE", text), refused))
                self.libpq.send_query_params(text.encode(), [str(value).encode() for value in values[refused:]])
            self.libpq.pipeline_sync()
            waiting.append(None)
        for entries in waiting:
            result = self.libpq.get_result()
            if entries is None:
                assert result.status == pq.ExecStatus.PIPELINE_SYNC
                continue
            if result.status == pq.ExecStatus.PIPELINE_ABORTED:
                end(entries[0], "unanswered")
                end(entries[1], "unanswered")
            else:
                self.shared(*entries[:2], result, entries[2])
            assert self.libpq.get_result() is None
        self.libpq.exit_pipeline_mode()

    def copy_in(self, text, rows, failure=None):
        entry = self.query(text, "COPY")
        for row in rows:
            self.libpq.put_copy_data(row)
        self.libpq.put_copy_end(failure)
        for result in self.results():
            self.ended(entry, result)

    def copy_out(self, text):
        entry = self.query(text, "COPY")
        while self.libpq.get_copy_data(0)[0] > 0:
            pass
        for result in self.results():
            self.ended(entry, result)

    def cancelled(self, text):
        """The statement says that it has begun before it is cancelled."""
        begun = []
        self.libpq.notice_handler = begun.append
        entry = log.begin("QUERY", text)
        self.libpq.send_query(text.encode())
        while not begun:
            self.libpq.consume_input()
            self.libpq.is_busy()
        end(log.begin("CANCEL_REQUEST"), "one_way")
        self.libpq.get_cancel().cancel()
        for result in self.results():
            self.ended(entry, result)


psql(
    "CREATE TABLE orders (id SERIAL PRIMARY KEY, customer TEXT, total NUMERIC(8,2) CHECK (total < 1000));",
    "INSERT INTO orders (customer, total) VALUES ('Ann', 1.5), ('Bob', 2.5);",
    "SELECT customer, total FROM orders WHERE total > 1 ORDER BY id;",
    "SELECT 1\\; SELECT customer FROM orders\\; SELECT 2;",
    "COPY orders (customer, total) FROM STDIN;\nCid\t3.5\nDora\t4.5\n\\.\n",
    "COPY orders TO STDOUT;",
    "SELECT price FROM orders;",
    "SELEC 1;",
    "INSERT INTO orders (id, customer) VALUES (1, 'again');",
    "UPDATE orders SET total = 5000 WHERE customer = 'Ann';",
    "BEGIN;",
    "SELECT 1 / 0;",
    "SELECT 1;",
    "ROLLBACK;",
    "SELECT repeat('x', 3000);",
)
STATEMENTS = "SELECT customer FROM orders WHERE id = :id;\nUPDATE orders SET total = total + 1 WHERE id = :id;\n"
LAST = "SELECT count(*) FROM orders;\n"
pgbench("simple", f"\\set id 7\n{STATEMENTS}{LAST}")
pgbench("extended", f"\\set id 7\n\\startpipeline\n{STATEMENTS}\\endpipeline\n{LAST}")
pgbench("prepared", f"\\set id 7\n\\startpipeline\n{STATEMENTS}\\endpipeline\n{LAST}")

one = Connection()
one.params("SELECT customer FROM orders WHERE id = $1::int", 1)
one.params("SELECT 10 / $1::int", 0)
one.params("SELECT price FROM orders WHERE id = $1", 1, refused=True)
one.prepare("by_name", "SELECT id FROM orders WHERE customer = $1")
one.execute("by_name", "Ann")
one.execute("by_name", "Bob")
one.query("")
one.query("DEALLOCATE by_name")
one.execute("by_name", "Ann")
one.pipeline(
    [("SELECT 1",), ("SELECT customer FROM orders WHERE id = $1::int", 2)],
    [("SELECT 2",), ("SELECT price FROM orders", None), ("SELECT 3",), ("SELECT 4",)],
    [("SELECT 5",)],
    [("SELECT 6 / $1::int", 0), ("SELECT 7",)],
    [("SELECT 8",)],
)
one.copy_in("COPY orders (customer, total) FROM STDIN", [b"Eve\t1\n", b"Fay\t2\n"])
one.copy_in("COPY orders (customer, total) FROM STDIN", [b"Gus\tmany\n"])
one.copy_in("COPY orders (customer, total) FROM STDIN", [b"Gus\t3\n"], b"changed my mind")
one.copy_out("COPY (SELECT * FROM orders) TO STDOUT (FORMAT binary)")
one.query("LISTEN news")
one.query("NOTIFY news, 'sold out'")
one.cancelled("DO $$ BEGIN RAISE NOTICE 'begun'; PERFORM pg_sleep(60); END $$")
one.query("SELECT 'after it'")
one.libpq.finish()
two = Connection("user=ann password=secret")
two.query("SELECT current_user")
two.query("SELECT * FROM orders")
two.libpq.finish()
Connection("user=ann password=wrong", failure="28P01")
Connection("user=postgres dbname=nowhere", failure="3D000")
log.write()
