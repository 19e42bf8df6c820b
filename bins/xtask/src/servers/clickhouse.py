"""Runs the engine of a ClickHouse as a server (HTTP and native TCP): clickhouse.py LIBRARY FOLDER HTTP TCP [CLUSTER].

The library's command-line entry is clickhouse-local, which can open listeners. The server ends when standard input does,
so that it never outlives whoever started it, and takes its folder along.
"""
import ctypes, os, shutil, sys, threading

library, folder, http, tcp = sys.argv[1:5]


def end_with_parent():
    sys.stdin.buffer.read()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()
# HTTP last: who gets an answer there finds the other listening too.
forever = "SELECT sum(sleepEachRow(1)) FROM numbers(1000000) SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0"
words = ["clickhouse", f"--config-file={folder}/server.xml", f"--path={folder}/data", "--listen_host=127.0.0.1",
         f"--http_port={http}", f"--tcp_port={tcp}",
         f"--query=SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; {forever} FORMAT Null"]
argv = (ctypes.c_char_p * len(words))(*[word.encode() for word in words])
entry = ctypes.CDLL(library).chdb_query_cmdline
entry.restype, entry.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
entry(len(words), argv)
sys.exit("the server ended by itself")
