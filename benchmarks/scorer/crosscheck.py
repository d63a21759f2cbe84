"""Two points measured by a second tool too, so that our generator need not be believed.

wrk (closed loop) against our generator's closed loop with as many connections; and, where it is installed, oha
(open loop, latency corrected for late sends) against our open loop at half the highest rate.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .load import Load
from .models import Files
from .process import GENERATOR_CORE, Server, free_port
from .systems import Place, System, environment
from .visit import Plan
from .wire import write_requests

CONNECTIONS = 8
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def run(
    systems: Sequence[System], blocks: Sequence[dict[str, Any]], files: Files, plan: Plan, work: Path, venvs: Path
) -> dict[str, Any]:  # fmt: skip
    """Ours and the best peer without reasons, or whatever of that was measured."""
    tools = [tool for tool in ("wrk", "oha") if shutil.which(tool)]
    if not tools:
        return {"failed": "neither wrk nor oha is installed"}
    rates = {b["key"]: b["max_rate"] or b["closed_8"]["rps"] for b in blocks if "failed" not in b}
    by_key = {s.key: s for s in systems}
    peers = [
        s for s in systems
        if not s.ours and s.key != "null" and s.key in rates and s.reasons == "none" and not s.key.startswith("seldon")
    ]  # fmt: skip
    chosen = [by_key[k] for k in ("ours-never-off", "ours-never") if k in by_key and k in rates][:1]
    chosen += sorted(peers, key=lambda s: -rates[s.key])[:1]
    return {
        "tools": tools,
        "points": [_point(s, rates[s.key], tools, files, plan, work, venvs) for s in chosen],
    }


def _point(
    system: System, rate: float, tools: Sequence[str], files: Files, plan: Plan, work: Path, venvs: Path
) -> dict[str, Any]:  # fmt: skip
    place = Place(free_port(), (free_port(), free_port()), work / "starts" / "cross", "ncross", files, venvs)
    x = np.load(files.rows)[:2000]
    server = Server(system.command(place), environment(system, place), place.directory)
    path = work / "requests" / f"cross-{system.key}"
    write_requests(path, [system.wire.message(x[i : i + 1]) for i in range(len(x))])
    bodies = [system.wire.body(x[i : i + 1]) for i in range(len(x))]
    out: dict[str, Any] = {"key": system.key}
    try:
        server.wait_ready(place.port, system.wire.message(x[:1]), plan.start)
        load = Load(place.port, "http", path, spin=plan.spin)
        try:
            load.run(server, seconds=plan.warm, connections=CONNECTIONS)
            mine = load.run(server, seconds=plan.tail, connections=CONNECTIONS)
            out["closed"] = {
                "ours_rps": round(mine["answered"] / mine["seconds"]),
                "ours_p50_ms": mine["p50"],
            }
            if "wrk" in tools:
                out["closed"] |= _wrk(place, system, bodies, plan.tail)
            if "oha" in tools:
                mine = load.run(server, rate=rate / 2, law="constant", seconds=plan.tail)
                out["open"] = {"rate": rate / 2, "ours_p50_ms": mine["p50"], "ours_p99_ms": mine["p99"]}
                out["open"] |= _oha(place, system, bodies, rate / 2, plan.tail)
        finally:
            load.close()
    finally:
        server.stop()
    return out


def _wrk(place: Place, system: System, bodies: Sequence[bytes], seconds: float) -> dict[str, Any]:
    script = place.directory / "post.lua"
    # Level-two brackets: a nested JSON list ends in ]], which would close the plain ones.
    quoted = ",\n".join(f"[==[{body.decode()}]==]" for body in bodies[:500])
    script.write_text(
        f'local bodies = {{{quoted}}}\nlocal i = 0\nwrk.method = "POST"\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        "request = function() i = i % #bodies + 1; return wrk.format(nil, nil, nil, bodies[i]) end\n"
    )
    url = f"http://127.0.0.1:{place.port}{system.wire.path}"
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{max(1, round(seconds))}s",
        "--latency",
        "-s",
        str(script),
        url,
    ]
    text = _tool(command)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    median = re.search(r"50%\s+([\d.]+)(us|ms|s)", text)
    return {
        "wrk_rps": round(float(rate.group(1))) if rate else None,
        "wrk_p50_ms": round(float(median.group(1)) * _UNITS[median.group(2)], 4) if median else None,
        "wrk_errors": "Non-2xx" in text,
    }


def _oha(
    place: Place, system: System, bodies: Sequence[bytes], rate: float, seconds: float
) -> dict[str, Any]:
    body = place.directory / "body.json"
    body.write_bytes(bodies[0])
    url = f"http://127.0.0.1:{place.port}{system.wire.path}"
    text = _tool(
        ["oha", "-z", f"{max(1, round(seconds))}s", "-q", str(max(1, round(rate))), "-c", "64", "--latency-correction",
         "--no-tui", "--output-format", "json", "-m", "POST", "-T", "application/json", "-D", str(body), url]
    )  # fmt: skip
    percentiles = json.loads(text)["latencyPercentiles"]
    return {"oha_p50_ms": percentiles["p50"] * 1e3, "oha_p99_ms": percentiles["p99"] * 1e3}


def _tool(command: Sequence[str]) -> str:
    pinned = ["taskset", "-c", str(GENERATOR_CORE), *command]
    return subprocess.run(pinned, capture_output=True, text=True, check=True, timeout=60).stdout
