"""Whether experiments tell the truth: the same requests in real time over loopback, and in simulation.

`python -m benchmarks.reality` draws the requests of one workload, lets the real client send them to a server in another
process, which takes for each as long as it asks for, and then runs the experiment that should foresee what came. The
server takes a few connections' requests at once, and the client's pool has fewer than the traffic would like, so that
there are lines to wait in.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import click
import trio
from rich.console import Console
from rich.table import Table

from trio_pool import Client, PoolConfig, open_client
from trio_pool.simulate import Constant, Experiment, Exponential, Poisson, Service, Uniform, VirtualProvider, Workload
from trio_pool.simulate.traffic.demands import DEMAND, read, written
from trio_pool.simulate.traffic.workload import Job

CONNECTIONS = 8
QUANTILES = (0.5, 0.9)
MARGIN = 0.1
"""How far the two may be apart, as a share of the real figure."""

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SERVICES = {
    "50 to 150 ms": Service(Uniform(0.05, 0.15)),
    "50 ms + exponential 50 ms": Service(Exponential(0.05), tokens=Constant(1), seconds_per_token=Constant(0.05)),
}


async def answer(stream: trio.SocketStream) -> None:
    """Serve one connection: each request takes as long as it asks for."""
    data = b""
    async for piece in stream:
        data += piece
        while (end := data.find(b"\r\n\r\n")) >= 0:
            head, data = data[:end], data[end + 4 :]
            value = next(line for line in head.split(b"\r\n") if line.lower().startswith(DEMAND.lower().encode()))
            demand = read(value.partition(b":")[2])
            await trio.sleep(demand.first_byte + demand.tokens * demand.seconds_per_token)
            await stream.send_all(ANSWER)


async def serve() -> None:
    """Say which port, and serve until the standard input ends."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        print(listeners[0].socket.getsockname()[1], flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


async def ask(client: Client, job: Job, started: float, latencies: list[float]) -> None:
    """One request, its latency counted from its intended start."""
    await client.get("/", headers={DEMAND: written(job)})
    latencies.append(trio.current_time() - started - job.at)


async def play(url: str, experiment: Experiment, seconds: float) -> list[float]:
    """The latencies in real time."""
    latencies: list[float] = []
    async with open_client(experiment.config, base_url=url) as client, trio.open_nursery() as nursery:
        started = trio.current_time()
        for job in experiment.workload.jobs(experiment.seed):
            if job.at >= seconds:
                break
            await trio.sleep_until(started + job.at)
            nursery.start_soon(ask, client, job, started, latencies)
    return latencies


def quantile(values: list[float], share: float) -> float:
    """The least value that is not exceeded by such a share of them."""
    return sorted(values)[int(share * len(values))]


def measured(experiment: Experiment, seconds: float) -> list[float]:
    """The latencies over loopback, with the server in a process of its own."""
    command = [sys.executable, "-c", "import trio; from benchmarks.reality import serve; trio.run(serve)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        try:
            return trio.run(partial(play, f"http://127.0.0.1:{port}", experiment, seconds))
        finally:
            server.communicate("")


@click.command(help=__doc__)
@click.option("--seconds", default=30.0, show_default=True, type=click.FloatRange(1), help="Length of each load.")
@click.option("--seed", default=0, show_default=True, help="Of the requests.")
def main(seconds: float, seed: int) -> None:
    """Compare, and exit with 1 where the two are further apart than they may be."""
    table = Table("service", "load", "requests", "quantile", "real, ms", "simulated, ms", "apart", title="Latency")
    worst = 0.0
    for name, service in SERVICES.items():
        for load in (0.5, 0.8):
            rate = load * CONNECTIONS / 0.1
            config = PoolConfig(max_connections=CONNECTIONS, max_connections_per_host=CONNECTIONS)
            workload = Workload(Poisson(rate), service)
            experiment = Experiment(config, workload, (VirtualProvider(),), seed=seed, seconds=seconds, method="GET")
            real, simulated = measured(experiment, seconds), list(experiment.run().latencies)
            for share in QUANTILES:
                one, other = quantile(real, share), quantile(simulated, share)
                apart = abs(other / one - 1)
                worst = max(worst, apart)
                figures = f"{one * 1000:.1f}", f"{other * 1000:.1f}", f"{apart:.1%}"
                table.add_row(name, f"{load:g}", f"{len(real)}", f"p{share * 100:g}", *figures)
    Console().print(table)
    sys.exit(worst > MARGIN)


if __name__ == "__main__":
    main()
