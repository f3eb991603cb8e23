#!/bin/bash
#SBATCH --job-name=plum
#SBATCH --nodes=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --mem=256G
#SBATCH --time=24:00:00
#SBATCH --signal=B:INT@120
#SBATCH --requeue
# A build on one node with eight GPUs: sbatch slurm.sh. Submit it again after the time limit, and it resumes.
# Beforehand, on a shared disk:  python -m venv $HOME/plum && $HOME/plum/bin/pip install "plum-hub[vllm]"
set -eu
export PLUM_HUB_HOME=${PLUM_HUB_HOME:-$HOME/.cache/plum-hub}
"$HOME/plum/bin/plum-hub" doctor
# HF_TOKEN, or a login of the hf command, gives leave to publish.
exec "$HOME/plum/bin/plum-hub" build-dataset \
    --model Qwen/CodeQwen1.5-7B-Chat --instructions oss-instruct --run "$HOME/runs/oss-codeqwen" --workers 8
