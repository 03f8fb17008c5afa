#!/bin/sh
# Every container of both images starts here: start.sh [COMMAND…]
# Without a command it opens a shell where somebody is at a terminal, and checks the machine elsewhere.
set -eu
workspace=${BENCH_WORKSPACE:-/workspace}

# `python run_predict.py` imports the package that lies beside it. `bench` has to import the same one.
if [ -f "$workspace/bench/__init__.py" ]; then
    export PYTHONPATH="$workspace${PYTHONPATH:+:$PYTHONPATH}"
    echo "bench and run_predict.py both use the checkout at $workspace, not the image's package." >&2
fi

if [ "$#" -gt 0 ]; then
    exec "$@"
fi
if [ -t 0 ] && [ -t 1 ]; then
    echo "Type 'bench doctor' to check this machine, or 'bench run --help' to see how models are compared."
    echo "Mount /workspace/results to keep results, and /cache/hf to keep downloaded models."
    exec bash
fi
exec bench doctor
