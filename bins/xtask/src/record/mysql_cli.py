"""The mariadb client, which says of each statement what came of it.

failing: an unknown column, a duplicate key, a syntax error, a refused login
"""
import re
import subprocess
import sys

from client_log import Log, end

log = Log(sys.argv[2])
COMMAND = ["mariadb", "--no-defaults", "--protocol=tcp", "-h127.0.0.1", "-uroot", "--skip-ssl", f"-P{sys.argv[1]}"]
STATEMENTS = [
    ("CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer VARCHAR(40), total DECIMAL(8,2))", "CREATE TABLE orders"),
    ("INSERT INTO orders (customer, total) VALUES ('Ann', 1.5), ('Bob', 2.5)", "INSERT orders"),
    ("SELECT customer, total FROM orders WHERE total > 1 ORDER BY id", "SELECT orders"),
    ("SELECT price FROM orders", "SELECT orders"),
    ("INSERT INTO orders (id, customer) VALUES (1, 'again')", "INSERT orders"),
    ("SELEC 1", "SELEC"),
    ("UPDATE orders SET total = total + 1 WHERE customer = 'Ann'", "UPDATE orders"),
    ("SELECT sleep(0.3)", "SELECT"),
    ("DROP TABLE orders", "DROP TABLE orders"),
]


def run(statements, *arguments):
    text = "".join(f"{statement};\n" for statement, _ in statements)
    ran = subprocess.run([*COMMAND, "--force", *arguments], input=text, capture_output=True, text=True)
    errors = re.findall(r"^ERROR (\d+) \((\w+)\)(?: at line (\d+))?: (.*)$", ran.stderr, re.MULTILINE)
    assert len(errors) == ran.stderr.count("ERROR"), ran.stderr
    login = log.begin("LOGIN", protocol="mysql")
    if errors and not errors[0][2]:
        return end(login, "error", errors[0][0], errors[0][3])
    end(login, code=0)
    errors = {int(line): (code, message) for code, _, line, message in errors}
    times = re.findall(r"\((?:([\d.]+) hours? )?(?:([\d.]+) min )?([\d.]+) sec\)$", ran.stdout, re.MULTILINE)
    assert len(times) == len(statements) - len(errors), ran.stdout
    for number, (statement, endpoint) in enumerate(statements, 1):
        entry = log.begin("COM_QUERY", statement, protocol="mysql", endpoint=endpoint)
        if number in errors:
            end(entry, "error", *errors[number])
        else:
            # In whole milliseconds.
            end(entry, code=0, elapsed_ns=int(float(times.pop(0)[2]) * 1e9) + 1_000_000)
        if "sleep" in statement:
            entry["at_least_ns"] = 300_000_000
    end(log.begin("COM_QUIT"), "one_way")


run(STATEMENTS, "-vvv", "shop")
run([], "-pwrong")
log.write()
