"""``python -m benchmarks.controller``: many models, many rollouts, one controller, an API server without pods.

Real kube-apiserver and etcd, the real program as a process of its own; Seldon, the node and
Prometheus are played by this process (``world.py``). Four guards, two pods a predictor, so the
evidence costs what it costs in life. Reported: how long a rollout waits for the controller's next
act (begun, step set, abort obeyed), calls to the API server per minute from its audit log, memory
and CPU of the controller's process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from serinus.kube.api import Api, Object
from serving.rollout.kube.names import COMMAND, ROLLOUT
from tests.cluster.controller.server import install
from tests.support.apiserver import ApiServer, free_port, tools

from .world import NAMESPACE, Counters, World

CANDIDATE = "p-ababababab"
STEPS = [{"weight": 10, "minRequests": 10**6}]


def rollout(target: str) -> Object:
    digest = "sha256:" + "ab" * 32
    return {
        "apiVersion": ROLLOUT.api_version,
        "kind": ROLLOUT.kind,
        "metadata": {"name": target},
        "spec": {
            "target": target,
            "candidate": {"bundle": {"uri": f"s3://models/{target}/2", "digest": digest}},
            "steps": STEPS,
            "limits": {"maxDuration": "12h"},
        },
    }


def abort(target: str) -> Object:
    return {
        "apiVersion": COMMAND.api_version,
        "kind": COMMAND.kind,
        "metadata": {"name": f"{target}-end"},
        "spec": {"rollout": target, "by": "admin", "command": "abort", "reason": "benchmark"},
    }


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 3),
        "p95": round(ordered[round(0.95 * (len(ordered) - 1))], 3),
        "max": round(ordered[-1], 3),
        "n": len(ordered),
    }


def resident(pid: int) -> int:
    """Bytes of memory that a process has in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def until(what: str, holds: Any, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


async def measure(server: ApiServer, arguments: argparse.Namespace) -> dict[str, Any]:
    await install(server)
    api = Api(server.configuration())
    world = World(api)
    counters = Counters(world)
    targets = [f"model-{index:03d}" for index in range(arguments.models)]
    chosen = targets[: arguments.rollouts]
    await world.fill(targets)
    await counters.start()
    port = free_port()
    process = subprocess.Popen(
        [
            sys.executable, "-m", "serving.rollout.kube", "--kubeconfig", str(server.kubeconfig("controller")),
            "--prometheus", counters.url, "--interval", f"{arguments.interval}s", "--host", "127.0.0.1",
            "--health-port", str(port), "--metrics-port", str(free_port()), "--log-level", "warning",
        ]
    )  # fmt: skip
    try:
        return await _measured(api, world, counters, server, process, targets, chosen, arguments)
    finally:
        process.terminate()
        process.wait()
        await world.stop()
        await counters.stop()
        await api.close()


async def _measured(
    api: Api,
    world: World,
    counters: Counters,
    server: ApiServer,
    process: subprocess.Popen[bytes],
    targets: list[str],
    chosen: list[str],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    await until("leading", lambda: any(v == "watch" for v, _, _ in server.requests("controller")), 60)
    await asyncio.sleep(5)
    idle = resident(process.pid)

    asked: dict[str, float] = {}
    for target in chosen:
        asked[target] = time.time()
        await api.create(ROLLOUT, NAMESPACE, rollout(target))
    await until("at 10 %", lambda: all(world.seen[t].get(CANDIDATE, (0, 0))[1] == 10 for t in chosen), 300)
    begun = [world.seen[t][CANDIDATE][0] - asked[t] for t in chosen]

    await asyncio.sleep(20)
    calls, cpu, queries = (
        len(server.requests("controller")),
        cpu_seconds(process.pid),
        counters.queries,
    )
    before = Counter((v, r) for v, r, _ in server.requests("controller"))
    await asyncio.sleep(arguments.seconds)
    minutes = arguments.seconds / 60
    after = Counter((v, r) for v, r, _ in server.requests("controller"))
    steady = len(server.requests("controller")) - calls
    used = cpu_seconds(process.pid) - cpu
    asked_of = counters.queries - queries
    memory = resident(process.pid)
    sizes = [len(json.dumps(r.get("status") or {})) for r in (await api.list(ROLLOUT, NAMESPACE))["items"]]

    ended: dict[str, float] = {}
    for target in chosen:
        ended[target] = time.time()
        await api.create(COMMAND, NAMESPACE, abort(target))
        await asyncio.sleep(0.2)  # one after the other, as people would
    await until("removed", lambda: all((t, CANDIDATE) in world.gone for t in chosen), 300)
    obeyed = [world.gone[t, CANDIDATE] - ended[t] for t in chosen]
    return {
        "models": len(targets),
        "rollouts": len(chosen),
        "interval_seconds": arguments.interval,
        "steady_seconds": arguments.seconds,
        "begin_to_first_step_seconds": spread(begun),
        "abort_to_removed_seconds": spread(obeyed),
        "api_calls_per_minute": round(steady / minutes, 1),
        "api_calls_per_minute_by_kind": {
            f"{verb} {resource}": round(count / minutes, 1)
            for (verb, resource), count in sorted((after - before).items())
        },
        "prometheus_queries_per_minute": round(asked_of / minutes, 1),
        "cpu_seconds_per_minute": round(used / minutes, 2),
        "memory_mib_before_rollouts": round(idle / 2**20, 1),
        "memory_mib": round(memory / 2**20, 1),
        "status_bytes_largest": max(sizes),
        "refused": sorted({f"{v} {r}" for v, r, code in server.requests("controller") if code == 403}),
        "cores": os.cpu_count(),
        "load_1m": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.controller", description=__doc__)
    parser.add_argument("--models", type=int, default=300, help="SeldonDeployments (default 300)")
    parser.add_argument("--rollouts", type=int, default=50, help="rollouts in flight (default 50)")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between looks (default 5)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the steady part (default 60)")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    path = tools()
    if path is None:
        sys.exit("no kube-apiserver: set SERINUS_CLUSTER to the test cluster's script, and build its tools")
    server = ApiServer(path)
    try:
        server.start("controller")
        asyncio.run(_granted(server))
        found = asyncio.run(measure(server, arguments))
    finally:
        server.stop()
    text = json.dumps(found, indent=2)
    print(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n")


async def _granted(server: ApiServer) -> None:
    """Exactly the controller's rights, cluster-wide."""
    from serving.rollout.kube.names import Kind
    from serving.rollout.kube.rbac import LEASE_RULES, RULES, rules

    api = Api(server.configuration())
    group = "rbac.authorization.k8s.io"
    name = {"metadata": {"name": "serinus-controller"}}
    await api.create(
        Kind(group, "v1", "clusterroles", "ClusterRole"),
        None,
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "rules": rules((*RULES, *LEASE_RULES))} | name,
    )
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": "serinus-controller"}
    subject = {"apiGroup": group, "kind": "User", "name": "controller"}
    await api.create(
        Kind(group, "v1", "clusterrolebindings", "ClusterRoleBinding"),
        None,
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "roleRef": reference,
            "subjects": [subject],
        }
        | name,
    )
    await api.close()


if __name__ == "__main__":
    main()
