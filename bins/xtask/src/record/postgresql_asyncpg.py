"""asyncpg, which speaks the protocol without libpq: portals read in pieces, many executions in one go, COPY, a time limit."""
import asyncio
import io
import sys

import asyncpg
from client_log import Log, end

log = Log(sys.argv[2])


async def do(operation, resource, waited):
    entry = log.begin(operation, resource)
    try:
        answer = await waited
    except asyncpg.PostgresError as error:
        return end(entry, "error", error.sqlstate, error.message)
    end(entry, code="00000")
    return answer


async def prepare(connection, text):
    return await do("PARSE", text, connection.prepare(text))


async def execute(statement, waited):
    return await do("EXECUTE", statement.get_query(), waited)


async def main():
    startup = log.begin("STARTUP", domain="shop")
    connection = await asyncpg.connect(host="127.0.0.1", port=int(sys.argv[1]), user="postgres", database="shop", ssl=False)
    end(startup, code="00000")
    for text in ("CREATE TABLE items (id INT PRIMARY KEY, name TEXT, price FLOAT8)", "BEGIN; SELECT 1; COMMIT",
                 "SELECT 1; SELECT 1/0; SELECT 2"):
        await do("QUERY", text, connection.execute(text))
    insert = await prepare(connection, "INSERT INTO items VALUES ($1, $2, $3)")
    # Each row is an execution.
    entries = [log.begin("EXECUTE", insert.get_query()) for _ in range(20)]
    await insert.executemany([(number, f"item {number}", number / 2) for number in range(20)])
    for entry in entries:
        end(entry, code="00000")
    await execute(insert, insert.fetch(20, "again" * 100, None))
    await execute(insert, insert.fetch(1, "twice", 0.0))
    select = await prepare(connection, "SELECT * FROM items WHERE id >= $1 ORDER BY id")
    await do("QUERY", "BEGIN;", (transaction := connection.transaction()).start())
    portal = await select.cursor(5)
    for count in (4, 4, 100):
        rows = await execute(select, portal.fetch(count))
        assert len(rows) == min(count, 8) or count == 100
    await do("QUERY", "COMMIT;", transaction.commit())
    await execute(select, select.fetchrow(0))
    await prepare(connection, "SELECT nothing FROM items")
    await prepare(connection, "SELECT 1; SELECT 2")
    text = io.BytesIO(b"100\tcup\t1.5\n101\tpot\t\\N\n")
    await do("COPY", None, connection.copy_to_table("items", source=text))
    await do("COPY", None, connection.copy_to_table("items", source=io.BytesIO(b"100\tcup\t1.5\n")))
    await do("COPY", None, connection.copy_from_table("items", output=io.BytesIO()))
    await do("COPY", None, connection.copy_from_query("SELECT 1/0", output=io.BytesIO()))
    slow = log.begin("QUERY", "SELECT pg_sleep(60)")
    try:
        await connection.execute("SELECT pg_sleep(60)", timeout=0.3)
    except asyncio.TimeoutError:
        end(slow, "error")
    end(log.begin("CANCEL_REQUEST"), "one_way")
    await do("QUERY", "SELECT 'after it'", connection.execute("SELECT 'after it'"))
    await connection.close()


asyncio.run(main())
log.write()
