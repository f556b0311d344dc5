#!/usr/bin/env bash
# rloop 0.5.0: a server's transport.close() and transport.abort() call connection_lost, but the connection stays
# open: the client waits for ever. And loop.remove_reader() of a listening socket aborts the whole process.
# Guess beforehand: an event loop that calls connection_lost has closed the connection, as asyncio and uvloop do.
# Seen: the client gets the end of the stream on asyncio, and a timeout on rloop; exit code 134 (SIGABRT).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q rloop==0.5.0
cat >"$folder/finding.py" <<'PYTHON'
import asyncio
import sys

import rloop

LOST = []


class Closing(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.close() if data == b"close" else self.transport.abort()

    def connection_lost(self, error):
        LOST.append(error)


async def read_after(word):
    server = await asyncio.get_running_loop().create_server(Closing, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(word)
    try:
        return await asyncio.wait_for(reader.read(), 2)
    except TimeoutError:
        return "nothing"
    finally:
        writer.close()
        server.close()


async def remove_the_reader():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Closing, "127.0.0.1", 0)
    loop.remove_reader(server.sockets[0].fileno())


if sys.argv[1:]:
    rloop.new_event_loop().run_until_complete(remove_the_reader())
for word in b"close", b"abort":
    for new_loop, expected in (asyncio.new_event_loop, b""), (rloop.new_event_loop, "nothing"):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            assert runner.run(read_after(word)) == expected, (word, new_loop)
assert LOST == [None] * 4
print("rloop: connection_lost, but the connection is open")
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/finding.py"
status=0
"$folder/venv/bin/python" -W ignore "$folder/finding.py" remove 2>/dev/null || status=$?
test "$status" -eq 134
