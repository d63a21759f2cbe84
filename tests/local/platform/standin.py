"""A stand-in for the scorer that starts in a tenth of a second and misbehaves by its bundle's version.

Version 1 and 2 are good; 3 errs on every third request; 4 is slow; 5 never says that it is ready; 6 ends at
once; 7 stops answering after a while.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

EDGES = (0.005, 0.025, 0.1, 1.0)


class Server:
    def __init__(self, predictor: str, model: str, version: int) -> None:
        self.labels = f'model="{model}",predictor="{predictor}"'
        self.predictor = predictor
        self.version = version
        self.codes = {200: 0, 500: 0}
        self.latencies: list[float] = []
        self.hung = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                await reader.readexactly(length)
                path = head.split(b" ", 2)[1]
                if self.hung:
                    await asyncio.Event().wait()
                code, body = await self.answer(path)
                writer.write(
                    f"HTTP/1.1 {code} X\r\nX-Serinus-Predictor: {self.predictor}\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def answer(self, path: bytes) -> tuple[int, bytes]:
        if path == b"/metrics":
            return 200, self.metrics().encode()
        if path.startswith(b"/v2/health"):
            return 200, b"{}"
        count = sum(self.codes.values()) + 1
        delay = 0.06 if self.version == 4 else 0.0
        if delay:
            await asyncio.sleep(delay)
        code = 500 if self.version == 3 and count % 3 == 0 else 200
        self.codes[code] += 1
        self.latencies.append(delay)
        self.hung = self.version == 7 and count > 20
        return code, b"{}"

    def metrics(self) -> str:
        lines = ["# TYPE serinus_requests counter"]
        lines += [f'serinus_requests_total{{{self.labels},code="{c}"}} {n}' for c, n in self.codes.items()]
        lines += ["# TYPE model_latency_seconds histogram"]
        for edge in EDGES:
            below = sum(1 for value in self.latencies if value <= edge)
            lines.append(f'model_latency_seconds_bucket{{{self.labels},le="{edge}"}} {below}')
        lines.append(f'model_latency_seconds_bucket{{{self.labels},le="+Inf"}} {len(self.latencies)}')
        lines.append(f"model_latency_seconds_count{{{self.labels}}} {len(self.latencies)}")
        lines.append(f"model_latency_seconds_sum{{{self.labels}}} {sum(self.latencies)}")
        return "\n".join(lines) + "\n"


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--predictor")
    parser.add_argument("--model")
    arguments, _ = parser.parse_known_args()
    version = json.loads((arguments.bundle / "manifest.json").read_text())["version"]
    if version == 6:
        sys.exit("the model cannot be loaded")
    server = await asyncio.start_server(
        Server(arguments.predictor, arguments.model, version).serve, "127.0.0.1", 0
    )
    if version != 5:
        print(json.dumps({"ready": True, "port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
