#!/bin/sh
# A build on a rented machine with eight GPUs, for people without a cluster: sh hf-jobs.sh, after `hf auth login`.
# The dataset is published from there. The run folder goes with the machine, so let the timeout be long enough.
set -eu
exec hf jobs run --flavor a100x8 --timeout 24h --secrets HF_TOKEN vllm/vllm-openai:latest \
    /bin/bash -c 'pip install "plum-hub[vllm]" && exec plum-hub build-dataset --model Qwen/CodeQwen1.5-7B-Chat \
        --instructions oss-instruct --run /tmp/run --hub public --workers 8'
