"""A server far away: what a client says arrives late, what the server answers arrives at once.

    python far_away.py PORT SERVERS_PORT DELAY_S

Each request waits for DELAY_S, as for the way there and back; what is under way together waits together, and the
bandwidth is the loopback's.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial

PIECE = 1 << 20


async def connected(near: asyncio.StreamReader, answers: asyncio.StreamWriter, port: int, delay_s: float) -> None:
    """Carry one connection in both directions."""
    reader, far = await asyncio.open_connection("127.0.0.1", port, limit=PIECE)
    await asyncio.gather(_late(near, far, delay_s), _at_once(reader, answers))


async def _late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    try:
        while piece := await reader.read(PIECE):
            loop.call_later(delay_s, writer.write, piece)
    except ConnectionError:
        pass
    loop.call_later(delay_s, writer.close)


async def _at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def main(port: str, servers_port: str, delay_s: str) -> None:
    """Carry connections until this process is ended."""
    carry = partial(connected, port=int(servers_port), delay_s=float(delay_s))
    server = await asyncio.start_server(carry, "127.0.0.1", int(port), limit=PIECE)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
