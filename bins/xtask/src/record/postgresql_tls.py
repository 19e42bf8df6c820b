"""psql with TLS and without. What follows the wish for TLS cannot be read, and nothing is made up from it."""
import subprocess
import sys

from client_log import Log, end

PORT, log = sys.argv[1], Log(sys.argv[2])
for wish in ("require", "prefer", "disable"):
    where = f"host=127.0.0.1 port={PORT} dbname=shop user=postgres sslmode={wish}"
    subprocess.run(["psql", "-X", "-q", "-o", "/dev/null", "-c", "SELECT 1", where], check=True)
    if wish != "disable":
        end(log.begin("SSL_REQUEST"), code="S")
end(log.begin("STARTUP", domain="shop"), code="00000")
end(log.begin("QUERY", "SELECT 1"), code="00000")
log.write()
