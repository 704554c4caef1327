"""An ERP that answers everything at once: `python _endpoint.py PORT`. It tells apart what Dealpost's client asks, and
says yes to anything else."""

import asyncio
import itertools
import re
import sys

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
FIELDS = b'[{"id":"300","name":"Key","type":"fieldtype_input","configuration":{"is_unique":"1"}}]'
NUMBERS = itertools.count(1)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            if b"get_entity_fields" in body:
                data = FIELDS
            else:
                data = b"[]" if b"select" in body else b'{"id":"%d"}' % next(NUMBERS)
            said = b'{"status":"success","data":%s}' % data
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said)
            )
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(port: int) -> None:
    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
