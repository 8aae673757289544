#!/bin/sh
# check.sh TARGET IMAGE: says how large an image is and what its layers hold, and runs what it is for, with a root file
# system that is read-only and as the user that the image names: of step the help of every stage and a tiny sweep, of cli
# the help of every verb and a pipeline compiled.
set -eu
target=$1
image=$2

docker image inspect --format '{{.Size}}' "$image" | awk -v image="$image" '{printf "%s: %.0f MB\n", image, $1 / 1e6}'
docker history --no-trunc --format '{{.Size}}\t{{.CreatedBy}}' "$image" | awk -F '\t' '
    $1 ~ /^0B/ { next }
    { what = "the base image" }
    $2 ~ /groupadd/ { what = "the user 10001" }
    $2 ~ /COPY/ { what = ++copies == 1 ? "this project and its bill of materials" : copies == 2 ? "libraries" : "PyTorch" }
    { printf "  %-8s %s\n", $1, what }'

docker run --rm --interactive --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
    --network none "$image" sh -eu -s "$target" <<'INSIDE'
for name in gcc cc pip; do
    if [ -e "/opt/venv/bin/$name" ]; then echo "$name: expected none in the image" >&2; exit 1; fi
done
if [ "$1" = cli ]; then
    for verb in $(defdistill --help | sed -n 's/^    \([a-z][a-z]*\) .*/\1/p'); do
        defdistill "$verb" --help > /dev/null
        echo "defdistill $verb --help"
    done
    defdistill compile --output /tmp/sweep.yaml
    exit
fi
stage() {
    name=$1
    shift
    python -m "defensive_distillation.stages.$name" "$@"
}
for file in /opt/venv/lib/python3.11/site-packages/defensive_distillation/stages/[a-z]*.py; do
    stage "$(basename "$file" .py)" --help > /dev/null
done
cd /tmp
few="--epochs 4 --batch-size 16 --minimum-progress 0"
stage prepare_data --train-limit 120 --test-limit 30 --output dataset
stage train_teacher --dataset dataset $few --output baseline
stage train_teacher --dataset dataset --temperature 20 $few --output teacher
stage generate_soft_labels --dataset dataset --teacher teacher --temperature 20 --output soft
stage train_student --dataset dataset --soft-labels soft --temperature 20 $few --output student
for model in baseline student; do
    stage attack --dataset dataset --model $model --attacks jsma,fgsm --jsma.sources 1 --jsma.max-features 6 \
        --bounded.samples 3 --output attack-$model
    stage evaluate --dataset dataset --model $model --attacks attack-$model --output evaluation-$model
done
stage report --evaluations evaluation-baseline evaluation-student --output report
ls report
INSIDE
