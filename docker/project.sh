#!/bin/sh
# project.sh VENV METADATA PARTS: makes PARTS/project, the layer that changes with each version: this project's wheel,
# compiled, and the bill of materials (CycloneDX) of it and of the libraries that METADATA tells of.
set -eu
venv=$1
metadata=$2
parts=$3
packages=lib/python3.11/site-packages
site=$venv/$packages

python -m venv --without-pip "$venv"
pip --python "$venv/bin/python" install -q --no-deps --no-index /wheels/*.whl
cp -r "$metadata"/* "$site/"
/opt/tools/bin/cyclonedx-py environment "$venv/bin/python" --output-reproducible --of JSON -o /tmp/sbom.json
python -m compileall -q --invalidation-mode unchecked-hash "$site"/defensive_distillation*

mkdir -p "$parts/project/$packages" "$parts/project/bin" "$parts/project/share"
mv "$site"/defensive_distillation* "$parts/project/$packages/"
mv "$venv/bin/defdistill" "$parts/project/bin/"
mv /tmp/sbom.json "$parts/project/share/defensive-distillation.cdx.json"
