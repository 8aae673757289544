#!/bin/sh
# parts.sh VENV PARTS: adds this project's wheel to an environment and its bill of materials, compiles it to bytecode and
# takes it apart: PARTS/pytorch (if it has PyTorch), PARTS/libraries and PARTS/project, each laid out as VENV is. Each
# becomes a layer, so that a new version of the project is a small download.
set -eu
venv=$1
parts=$2
packages=lib/python3.11/site-packages
site=$venv/$packages

pip --python "$venv/bin/python" install -q --no-deps --no-index /wheels/*.whl
/opt/tools/bin/cyclonedx-py environment "$venv/bin/python" --output-reproducible --of JSON -o /tmp/sbom.json
# not by time stamps, which a layer may change; what cannot be compiled is no module of ours
python -m compileall -q -j 0 --invalidation-mode unchecked-hash "$site" >/dev/null || true

mkdir -p "$parts/project/$packages" "$parts/project/bin" "$parts/project/share"
mv "$site"/defensive_distillation* "$parts/project/$packages/"
mv "$venv/bin/defdistill" "$parts/project/bin/"
mv /tmp/sbom.json "$parts/project/share/defensive-distillation.cdx.json"
if [ -d "$site/torch" ]; then
    mkdir -p "$parts/pytorch/$packages"
    for name in torch torchgen functorch torchvision torchvision.libs nvidia cuda; do
        if [ -e "$site/$name" ]; then mv "$site/$name" "$parts/pytorch/$packages/"; fi
    done
fi
mkdir -p "$parts/libraries"
mv "$venv"/* "$parts/libraries/"
