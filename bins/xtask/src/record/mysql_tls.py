"""The mariadb client with TLS and without. What follows the wish for TLS cannot be read, and nothing is made up from it."""
import subprocess
import sys

from client_log import Log, end

PORT, log = sys.argv[1], Log(sys.argv[2])
# The wish is part of the login, which cannot be seen any more.
for wish in ("--ssl", "--skip-ssl"):
    command = ["mariadb", "--no-defaults", "--protocol=tcp", "-h127.0.0.1", "-uroot", f"-P{PORT}", wish, "-e", "SELECT 1; SELECT 2"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
end(log.begin("LOGIN"), code=0)
for text in ("SELECT 1", "SELECT 2"):
    end(log.begin("COM_QUERY", text), code=0)
end(log.begin("COM_QUIT"), "one_way")
log.write()
