"""A Ray cluster of several nodes on this machine, one of which is killed: run as a program.

``python ray_cluster.py DATABASE COMMAND…`` runs the command on the cluster, kills the node that
began a training run last while it computes it, and prints as JSON what was going on at that moment
and how the command ended. Then it runs a treatment on what is left that kills its own process.
The nodes are processes of their own, and so is each actor.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
from ray.cluster_utils import Cluster

from scripts.causal.campaign.ledger import open_ledger

WAIT_SECONDS = 60.0


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def pid_of(row):
    return int(row.owner.split("|")[1])


def training(ledger):
    """Rows of training runs under way, the one that has begun last at the end."""
    return [row for row in ledger.rows() if row.kind == "train" and row.status == "claimed"]


def main(location, command):
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
    raylets = {node.all_processes["raylet"][0].process.pid: node for node in nodes}
    ledger = open_ledger(location)
    environment = os.environ | {"RAY_ADDRESS": cluster.address}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        give_up = time.monotonic() + WAIT_SECONDS
        while len(rows := training(ledger)) < len(nodes) and process.poll() is None:
            assert time.monotonic() < give_up, "the nodes have nothing to do"
            time.sleep(0.01)
        row = rows[-1]
        cluster.remove_node(raylets[parent_of(pid_of(row))], allow_graceful=False)
        said = process.stderr.read().decode()
    seen = {"key": row.key, "owner": row.owner, "nodes": len({pid_of(each) for each in rows})}
    print(json.dumps({**seen, "returncode": process.returncode, "said": said[-2000:]}))
    deadly = ["--treatment", "accident=/nowhere/always", "--seeds", "1,2"]
    subprocess.run([*command, *deadly, "--output", "deadly.json"], env=environment, check=True)
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
