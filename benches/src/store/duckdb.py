"""Takes in the rows of Parquet files, and asks each question several times: argument 1 is a folder for the database, argument 2 a file
of questions, argument 3 how often, the rest are the files. Answers one JSON object per line: what it is, processor seconds, and the sum
of all numbers of the answer, by which answers are compared."""

import json
import os
import resource
import sys
import time

import duckdb

folder, questions, rounds, files = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
path = os.path.join(folder, "peer.duckdb")
database = duckdb.connect(path)
database.execute("SET threads TO 1")
database.execute("SET preserve_insertion_order TO false")


def tell(name, seconds, **more):
    print(json.dumps({"name": name, "seconds": seconds, **more}), flush=True)


begin = time.process_time()
database.execute("CREATE TABLE calls AS SELECT * FROM read_parquet($1)", [files])
database.execute("CHECKPOINT")
tell("load", time.process_time() - begin, bytes=os.path.getsize(path))
with open(questions) as lines:
    for line in lines:
        name, _, sql = line.rstrip("\n").partition("\t")
        best, total, rows = float("inf"), 0.0, 0
        for _ in range(rounds):
            begin = time.process_time()
            answer = database.execute(sql).fetch_arrow_table()
            best = min(best, time.process_time() - begin)
        rows = answer.num_rows
        for column in answer.columns:
            total += sum(value for value in column.to_pylist() if isinstance(value, (int, float)))
        tell(name, best, rows=rows, total=float(total))
tell("memory", 0, bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
