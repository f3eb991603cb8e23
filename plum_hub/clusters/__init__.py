"""A build on a Ray cluster (`--workers ray`): the stages that ask a model or judge run on its nodes.

The run folder stays where the command runs, and no disk is shared. Each actor has a worker process of its own, as
`--workers N` has on one machine; it gets a copy of one shard, and sends every row back as it makes it, so that a lost
node costs no more than the rows on their way.

Who talks to whom: `pool.py` deals tasks in the process of the build; `bridge.py` is a process beside it that holds the
connection to Ray; `node.py` is the actor; below it runs `plum_hub.pipeline.worker`.
"""

from plum_hub.clusters.options import ClusterOptions
from plum_hub.clusters.pool import RayCluster, joined

__all__ = ["ClusterOptions", "RayCluster", "joined"]
