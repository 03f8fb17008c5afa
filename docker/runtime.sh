#!/bin/sh
# What both images need besides Python: run once, as root, while they are built.
#   runtime.sh [FOLDER…]    more folders that every user may write to
set -eu

# Versions are not pinned: Ubuntu's archive keeps only the newest build of a package.
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends \
    ca-certificates libpcre2-8-0 tini
rm -rf /var/lib/apt/lists/*

groupadd --gid 1000 bench
useradd --uid 1000 --gid 1000 --home-dir /home/bench --no-create-home --shell /bin/bash bench

# Like /tmp: whichever uid the container is started with can write here. A fresh volume that is
# mounted on one of these folders takes its mode over.
for folder in /home/bench /cache/hf /workspace /workspace/results "$@"; do
    mkdir -p "$folder"
    chmod 1777 "$folder"
done
