#!/usr/bin/env bash
# A local stand-in for docker.io/library/python:3.11-slim, on which the drift image stands (Alibi Detect 0.11.4 needs
# Python 3.11): the local debian:bookworm-slim, whose own Python is 3.11, under the names that the real image has.
# Nothing is made where an image of that name is there already.
set -euo pipefail
python=docker.io/library/python:3.11-slim debian=docker.io/library/debian:bookworm-slim
buildah images -q $python >/dev/null 2>&1 && exit 0
c=$(buildah from --pull-never $debian)
trap 'buildah rm "$c" >/dev/null' EXIT
buildah run --isolation chroot "$c" -- bash -c '
  set -e; export DEBIAN_FRONTEND=noninteractive; apt-get update -qq
  apt-get install -y -qq --no-install-recommends python3 python3-pip python3-venv libgomp1
  rm -rf /var/lib/apt/lists/* /usr/lib/python3*/EXTERNALLY-MANAGED
  ln -s /usr/bin/python3 /usr/local/bin/python3; ln -s /usr/bin/pip3 /usr/local/bin/pip' >/dev/null 2>&1
buildah config --cmd python3 "$c"
buildah commit -q "$c" $python >/dev/null
