#!/bin/sh
# make image: builds an image and says what it holds. build.sh TARGET DEVICE NAME, TARGET step or cli, DEVICE cpu or cuda.
set -eu
cd "$(dirname "$0")/.."
target=$1
device=$2
name=$3

version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' components/defensive_distillation/__init__.py)
commit=$(git rev-parse HEAD)
if [ -n "$(git status --porcelain -- components pipelines docker pyproject.toml)" ]; then commit=$commit-changed; fi
docker build --file docker/Dockerfile --target "$target" --tag "$name" \
    --build-arg "DEVICE=$device" --build-arg "VERSION=$version" --build-arg "COMMIT=$commit" \
    ${PIP_INDEX_URL:+--build-arg PIP_INDEX_URL} ${PIP_EXTRA_INDEX_URL:+--build-arg PIP_EXTRA_INDEX_URL} .
