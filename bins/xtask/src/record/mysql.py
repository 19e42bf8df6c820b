"""MySQL Connector/Python without C, one method for each command of the protocol."""
import io
import sys

import mysql.connector
from client_log import Log, end

log = Log(sys.argv[2])


class Client:
    def __init__(self, **more):
        entry = log.begin("LOGIN")
        try:
            self.server = mysql.connector.connect(
                host="127.0.0.1", port=int(sys.argv[1]), user="root", ssl_disabled=True, use_pure=True, charset="utf8mb4",
                collation="utf8mb4_general_ci", autocommit=None, **more)
            end(entry, code=0)
        except mysql.connector.Error as error:
            end(entry, "error", error.errno, error.msg)
        self.texts = {}

    def command(self, operation, resource, call, *arguments, **more):
        entry = log.begin(operation, resource)
        try:
            answer = call(*arguments, **more)
        except mysql.connector.Error as error:
            end(entry, "error", error.errno, error.msg)
            return None
        end(entry, code=0)
        return answer

    def query(self, text):
        answer = self.command("COM_QUERY", text, self.server.cmd_query, text)
        if answer and "columns" in answer:
            self.server.get_rows()

    def prepare(self, text):
        answer = self.command("COM_STMT_PREPARE", text, self.server.cmd_stmt_prepare, text.encode())
        if answer:
            self.texts[answer["statement_id"]] = text
            return answer["statement_id"], answer["parameters"]
        return None

    def execute(self, statement, *values):
        number, parameters = statement
        # What is read from a file goes before the command, each in a piece of its own.
        for _ in (value for value in values if isinstance(value, io.BytesIO)):
            end(log.begin("COM_STMT_SEND_LONG_DATA"), "one_way")
        answer = self.command(
            "COM_STMT_EXECUTE", self.texts[number], self.server.cmd_stmt_execute, number, values, parameters)
        if isinstance(answer, tuple):
            self.server.unread_result = True
            self.server.get_rows(binary=True, columns=answer[1])

    def cursor(self, statement, *values):
        """Rows are not sent before they are asked for."""
        number, parameters = statement
        answer = self.command(
            "COM_STMT_EXECUTE", self.texts[number], self.server.cmd_stmt_execute, number, values, parameters, flags=1)
        return number, answer[1]

    def fetch(self, cursor, count):
        self.server.cmd_stmt_fetch(cursor[0], count)
        self.command("COM_STMT_FETCH", self.texts[cursor[0]], self.server.get_rows, binary=True, columns=cursor[1])

    def several(self, text):
        """Some results for one command."""
        entry = log.begin("COM_QUERY", text)
        try:
            for result in self.server.cmd_query_iter(text):
                if "columns" in result:
                    self.server.get_rows()
            end(entry, code=0)
        except mysql.connector.Error as error:
            end(entry, "error", error.errno, error.msg)

    def reset(self, statement):
        self.command("COM_STMT_RESET", None, self.server.cmd_stmt_reset, statement[0])

    def close(self, statement):
        end(log.begin("COM_STMT_CLOSE"), "one_way")
        self.server.cmd_stmt_close(statement[0])


one = Client(database="shop")
one.query("CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer VARCHAR(40), total DOUBLE, made DATETIME, note BLOB)")
insert = one.prepare("INSERT INTO orders (customer, total) VALUES (?, ?)")
one.execute(insert, "Ann", 1.5)
one.execute(insert, "Bob", 2.5)
one.execute(insert, "x" * 2000, 3)
one.execute(insert, "x" * 50, 3)
one.reset(insert)
one.execute(insert, None, None)
select = one.prepare("SELECT id, customer, total FROM orders WHERE id > ? ORDER BY id")
one.execute(select, 0)
one.execute(select, 1000)
one.prepare("SELECT price FROM orders")
one.prepare("SELEC 1")
again = one.prepare("INSERT INTO orders (id) VALUES (?)")
one.execute(again, 1)
one.close(again)
note = one.prepare("UPDATE orders SET note = ? WHERE id = ?")
one.execute(note, io.BytesIO(b"y" * 3000), 1)
one.close(note)
update = one.prepare("UPDATE orders SET customer = 'none'")
one.execute(update)
one.query("SELECT count(*), max(total) FROM orders")
one.query("SELECT 'x' FROM nowhere")
one.query("COMMIT")
one.command("COM_PING", None, one.server.cmd_ping)
one.command("COM_INIT_DB", "shop", one.server.cmd_init_db, "shop")
one.command("COM_INIT_DB", "nowhere", one.server.cmd_init_db, "nowhere")
one.command("COM_STATISTICS", None, one.server.cmd_statistics)
one.command("COM_RESET_CONNECTION", None, one.server.cmd_reset_connection)
# Forgotten with the rest.
one.execute(insert, "Eve", 4)
one.query("CREATE PROCEDURE two() BEGIN SELECT 1; SELECT 2; END")
one.several("CALL two()")
one.several("SELECT 1; INSERT INTO orders (customer) VALUES ('Flo'); SELECT 2")
one.several("SELECT 1; SELECT nothing; SELECT 2")
rows = one.prepare("SELECT id, customer FROM orders ORDER BY id")
portal = one.cursor(rows)
one.fetch(portal, 2)
one.fetch(portal, 1)
one.fetch(portal, 100)
one.close(rows)
one.command("COM_CHANGE_USER", None, one.server.cmd_change_user, "root", "", "shop")
one.query("SELECT 'after it'")
one.query("KILL 1000000")
end(log.begin("COM_QUIT"), "one_way")
one.server.cmd_quit()
Client(database="nowhere")
Client(password="wrong")
log.write()
