#!/bin/sh
# trim.sh cpu|cuda SITE_PACKAGES: takes out of the installed libraries what no step opens.
set -eu
device=$1
site=$2

case $device in
cpu)
    python "$(dirname "$0")/cpu_only.py" "$site"
    rm -rf "$site"/nvidia "$site"/nvidia_* "$site"/cuda "$site"/cuda_* "$site"/triton*
    ;;
cuda) ;;
*)
    echo "DEVICE: expected cpu or cuda, got '$device'" >&2
    exit 2
    ;;
esac

# of scikit-learn only the file of its digits is read
find "$site/sklearn" -type f ! -name digits.csv.gz -delete
# of AWS's services only storage and signing in are used
find "$site/botocore/data" -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name 'sso*' ! -name sts -exec rm -rf {} +
# headers, static libraries and the libraries' own tests
rm -rf "$site"/torch/include "$site"/torch/share "$site"/matplotlib/tests "$site"/mpl_toolkits/*/tests
find "$site"/numpy -type d -name tests -prune -exec rm -rf {} +
find "$site" -name '*.a' -delete
if [ -d "$site/nvidia" ]; then find "$site/nvidia" -type d -name include -prune -exec rm -rf {} +; fi
find "$site" -type d -empty -delete
