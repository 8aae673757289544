#!/bin/sh
# make lock: writes docker/NAME.txt, exact versions and hashes of what the images hold, from pyproject.toml's groups.
# A version that is locked stays while it satisfies them; UV_UPGRADE=1 takes the newest of all.
set -eu
cd "$(dirname "$0")/.."

lock() { # GROUP [FLAG…]
    group=$1
    shift
    # no address of an index stands in a lock: whoever builds says where packages come from
    uv pip compile --quiet --group "pyproject.toml:$group" --output-file "docker/$group.txt" \
        --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes \
        --no-emit-index-url --no-header ${UV_UPGRADE:+--upgrade} "$@"
}

# triton compiles kernels at run time (torch.compile), which no stage does: a gigabyte
lock step --no-emit-package triton
lock alone --no-deps
lock cli
lock build
