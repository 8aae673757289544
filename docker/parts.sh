#!/bin/sh
# parts.sh VENV PARTS: compiles an environment to bytecode and takes it apart: PARTS/pytorch (if it has PyTorch) and
# PARTS/libraries, each laid out as VENV is and a layer of its own, and PARTS/metadata, which says what is installed.
set -eu
venv=$1
parts=$2
packages=lib/python3.11/site-packages
site=$venv/$packages

# valid whatever a layer does to time stamps; PyTorch has files for newer Pythons, which do not compile
python -m compileall -q -j 0 --invalidation-mode unchecked-hash "$site" >/dev/null || true

mkdir -p "$parts/metadata" "$parts/libraries"
cp -r "$site"/*.dist-info "$parts/metadata/"
if [ -d "$site/torch" ]; then
    mkdir -p "$parts/pytorch/$packages"
    for name in torch torchgen functorch torchvision torchvision.libs nvidia cuda; do
        if [ -e "$site/$name" ]; then mv "$site/$name" "$parts/pytorch/$packages/"; fi
    done
fi
mv "$venv"/* "$parts/libraries/"
