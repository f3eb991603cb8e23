#!/bin/bash
# A build on the machines of a Ray cluster that is started by hand: bash ray.sh HEAD NODE... over ssh.
# Not yet run on several machines; that its command is accepted is tested.
# Beforehand, on every machine, the same Python and packages, beside the folder of the model if it is not from a Hub:
#   python -m venv $HOME/plum && $HOME/plum/bin/pip install "plum-hub[vllm,ray]"
# Ray's ports are open to whoever reaches them: use a network of your own, and name its addresses.
# A node's workers have the environment that Ray was started in there: keys for servers and HF_TOKEN for gated models
# belong into $HOME/plum.env of each node (KEY=VALUE lines, chmod 600).
set -eu
head=$1
shift
bin=$HOME/plum/bin
on() { ssh "$1" "set -a; [ ! -f \$HOME/plum.env ] || . \$HOME/plum.env; set +a; $2"; }
# This machine is the head. It keeps the run folder and deals the work, and lends no cores for it.
"$bin/ray" start --head --node-ip-address "$head" --port 6379 --num-cpus 0 --include-dashboard false
trap 'for node in "$@"; do on "$node" "$bin/ray stop"; done; "$bin/ray" stop' EXIT
for node in "$@"; do
    on "$node" "$bin/ray start --address $head:6379"
done
"$bin/plum-hub" build-dataset \
    --model Qwen/CodeQwen1.5-7B-Chat --instructions oss-instruct --run "$HOME/runs/oss-codeqwen" \
    --workers ray --address "$head:6379"
